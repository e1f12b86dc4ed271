"""What a torch.fx node is: a layer, a clamp, an addition, a pool, or none of these."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from qexplore.network.graph import Kind
from qexplore.network.products import scaled_product

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
AVG_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
RESHAPES = (
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.PixelShuffle,
    nn.ChannelShuffle,
    nn.ZeroPad1d,
    nn.ZeroPad2d,
)

FUNCTIONS: dict[Any, Kind] = {
    operator.add: "add", operator.iadd: "add", torch.add: "add", "add": "add", "add_": "add",
    torch.cat: "concat", torch.concat: "concat",
    F.max_pool1d: "max-pool", F.max_pool2d: "max-pool", F.max_pool3d: "max-pool",
    F.adaptive_max_pool1d: "max-pool", F.adaptive_max_pool2d: "max-pool", F.adaptive_max_pool3d: "max-pool",
    torch.amax: "max-pool", "amax": "max-pool",
    F.avg_pool1d: "avg-pool", F.avg_pool2d: "avg-pool", F.avg_pool3d: "avg-pool",
    F.adaptive_avg_pool1d: "avg-pool", F.adaptive_avg_pool2d: "avg-pool", F.adaptive_avg_pool3d: "avg-pool",
    torch.mean: "avg-pool", "mean": "avg-pool",
    torch.matmul: "product", operator.matmul: "product", torch.bmm: "product", "matmul": "product", "bmm": "product",
    torch.einsum: "product", scaled_product: "product",
    torch.flatten: "reshape", torch.reshape: "reshape", torch.permute: "reshape", torch.transpose: "reshape",
    torch.squeeze: "reshape", torch.unsqueeze: "reshape", torch.chunk: "reshape", torch.split: "reshape",
    torch.unbind: "reshape", "unbind": "reshape", "view_as": "reshape", "expand": "reshape", "unflatten": "reshape",
    torch.roll: "reshape", "roll": "reshape", F.pad: "reshape", torch.movedim: "reshape", "movedim": "reshape",
    F.dropout: "reshape", F.dropout2d: "reshape", operator.getitem: "reshape",
    "flatten": "reshape", "reshape": "reshape", "view": "reshape", "permute": "reshape", "transpose": "reshape",
    "squeeze": "reshape", "unsqueeze": "reshape", "contiguous": "reshape", "chunk": "reshape", "split": "reshape",
    F.relu: "clamp", torch.relu: "clamp", torch.relu_: "clamp", "relu": "clamp", "relu_": "clamp", F.relu6: "clamp",
    F.hardtanh: "clamp", torch.clamp: "clamp", "clamp": "clamp", "clamp_": "clamp",
    torch.clip: "clamp", "clip": "clamp", torch.minimum: "clamp",
}  # fmt: skip

OF_THE_BATCH = "batch norm without running statistics: an image's result hangs on the others of its batch"
# What a constant may enter without being a weight matrix: it acts on each number, or is a choice of places.
POINTWISE = frozenset(
    [
        *("add", "iadd", "sub", "isub", "rsub", "mul", "imul", "div", "truediv", "itruediv", "pow", "where"),
        *("minimum", "maximum", "eq", "ne", "lt", "le", "gt", "ge", "getitem", "expand", "cat", "concat", "stack"),
        *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"),
        *("scaled_product", "softmax_with", "softmax_where"),
    ]
)


def kind_of(
    node: fx.Node, module: nn.Module | None, constants: dict[str, Any], opaque: dict[str, str]
) -> tuple[Kind, float | None, Any, str]:
    """Kind, bounds of a clamp, and why the inside is not quantized."""
    if module is None:
        kind = FUNCTIONS.get(node.target, "function")
        if kind == "clamp":
            bounds = _function_bounds(node, constants)
            return ("function", None, None, "") if bounds is None else _clamp(*bounds)
        constant = any(n.name in constants for n in node.all_input_nodes)
        if kind == "reshape" and node.target is F.pad and not _pads_with_zeros(node):
            kind = "function"
        if (kind in ("add", "concat") and constant) or not {"alpha", "divisor_override"}.isdisjoint(node.kwargs):
            kind = "function"
        if name_of(node) == "batch_norm" and _norms_by_batch(node):
            return kind, None, None, OF_THE_BATCH
        weights = constant and kind in ("function", "product") and name_of(node) not in POINTWISE
        return kind, None, None, "functional call: its weights are not seen" if weights else ""
    if str(node.target) in opaque:
        return "function", None, None, opaque[str(node.target)]
    if isinstance(module, CONVS):
        return "conv", None, None, ""
    if isinstance(module, nn.Linear):
        return "linear", None, None, ""
    if isinstance(module, NORMS) and module.running_mean is not None:
        return "batchnorm", None, None, ""
    if isinstance(module, NORMS):
        return "function", None, None, OF_THE_BATCH
    if isinstance(module, nn.ReLU):
        return "clamp", 0.0, None, ""
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return _clamp(_finite(module.min_val), _finite(module.max_val))
    for kinds, kind in ((MAX_POOLS, "max-pool"), (AVG_POOLS, "avg-pool"), (RESHAPES, "reshape")):
        if isinstance(module, kinds) and getattr(module, "divisor_override", None) is None:
            return kind, None, None, ""
    if type(module).__module__.startswith("torch.ao.nn."):
        return "function", None, None, f"{type(module).__name__} of torch.ao: its weights are packed or quantized"
    matrix = any(p.dim() >= 2 for p in module.parameters())
    return "function", None, None, f"no quantizer for the weights of {type(module).__name__}" if matrix else ""


def _clamp(lower: float | None, upper: Any) -> tuple[Kind, float | None, Any, str]:
    """What a clamp is: without bounds it hands on what it is given."""
    return ("reshape" if lower is None and upper is None else "clamp"), lower, upper, ""


def _function_bounds(node: fx.Node, constants: dict[str, Any]) -> tuple[float | None, Any] | None:
    """Lower and upper bound of a functional clamp; None where they are not constants."""
    name = name_of(node)
    if "relu6" in name:
        return 0.0, 6.0
    if "relu" in name:
        return 0.0, None
    given = [node.kwargs.get("min", node.kwargs.get("min_val")), node.kwargs.get("max", node.kwargs.get("max_val"))]
    if name == "minimum":
        given = [None, node.args[1] if len(node.args) > 1 else node.kwargs.get("other")]
    else:
        for place, value in enumerate(node.args[1:3]):
            given[place] = value
        if name == "hardtanh":
            given = [-1.0 if given[0] is None else given[0], 1.0 if given[1] is None else given[1]]
    lower, upper = (_constant(value, constants) for value in given)
    if isinstance(lower, Tensor | str) or isinstance(upper, str):
        return None
    return lower, upper


def _norms_by_batch(node: fx.Node) -> bool:
    """Whether F.batch_norm takes its statistics from the images at hand."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training")
    given = dict(zip(names, node.args)) | dict(node.kwargs)
    return given.get("running_mean") is None or bool(given.get("training"))


def _pads_with_zeros(node: fx.Node) -> bool:
    """Whether what F.pad adds is on every grid."""
    given = dict(zip(("input", "pad", "mode", "value"), node.args)) | dict(node.kwargs)
    return (given.get("mode", "constant"), given.get("value") or 0) == ("constant", 0)


def _constant(value: Any, constants: dict[str, Any]) -> Any:
    """A bound as a number or a tensor; the string "variable" where it depends on the image."""
    if isinstance(value, fx.Node):
        return constants.get(value.name, "variable")
    return value if value is None or isinstance(value, Tensor) else _finite(value)


def _finite(bound: float) -> float | None:
    """The bound of a clamp; None where it is infinite, and bounds nothing."""
    return float(bound) if math.isfinite(bound) else None


def name_of(node: fx.Node) -> str:
    """Name of the function or method that the node calls, without the mark of working in place."""
    what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
    return what.strip("_")
