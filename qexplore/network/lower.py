"""From torch.fx nodes to operations: which node is a layer, a clamp, an addition, and which is none of these."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from qexplore.network.graph import Graph, Kind, Op, tighter

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
AVG_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
RESHAPES = (
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.PixelShuffle,
)

FUNCTIONS: dict[Any, Kind] = {
    operator.add: "add", operator.iadd: "add", torch.add: "add", "add": "add", "add_": "add",
    torch.cat: "concat", torch.concat: "concat",
    F.max_pool1d: "max-pool", F.max_pool2d: "max-pool", F.adaptive_max_pool2d: "max-pool",
    F.avg_pool1d: "avg-pool", F.avg_pool2d: "avg-pool", F.adaptive_avg_pool1d: "avg-pool",
    F.adaptive_avg_pool2d: "avg-pool", torch.mean: "avg-pool", "mean": "avg-pool",
    torch.flatten: "reshape", torch.reshape: "reshape", torch.permute: "reshape", torch.transpose: "reshape",
    torch.squeeze: "reshape", torch.unsqueeze: "reshape", torch.chunk: "reshape", torch.split: "reshape",
    F.dropout: "reshape", F.dropout2d: "reshape", operator.getitem: "reshape",
    "flatten": "reshape", "reshape": "reshape", "view": "reshape", "permute": "reshape", "transpose": "reshape",
    "squeeze": "reshape", "unsqueeze": "reshape", "contiguous": "reshape", "chunk": "reshape", "split": "reshape",
    F.relu: "clamp", torch.relu: "clamp", torch.relu_: "clamp", "relu": "clamp", "relu_": "clamp", F.relu6: "clamp",
    F.hardtanh: "clamp", torch.clamp: "clamp", "clamp": "clamp", "clamp_": "clamp", torch.minimum: "clamp",
}  # fmt: skip


def lower(model: nn.Module, traced: fx.Graph, example: Tensor, opaque: dict[str, str]) -> Graph:
    """The operations of `traced`, each carried out once on `example` to learn its shape and what it returns."""
    ops: list[Op] = []
    values: dict[str, Any] = {}
    alias: dict[str, str] = {}  # torch.fx's name → operation name
    constants: dict[str, Any] = {}  # torch.fx's name → a value that no image changes
    taken: set[str] = set()
    output = ""
    for node in traced.nodes:
        if node.op == "output":
            output = alias[node.args[0].name]
            continue
        if node.op == "placeholder" and any(op.kind == "input" for op in ops):
            continue  # further inputs keep their defaults; a model that needs them has failed on its example
        op = _operation(node, model, alias, constants, opaque, _unique(_name(node), taken))
        values[op.name] = _evaluate(op, values, example)
        if node.op != "placeholder" and all(n.name in constants for n in node.all_input_nodes):
            constants[node.name] = values[op.name]
            op = replace(op, kind="value")
        op = _settle(op, values)
        ops.append(op)
        alias[node.name] = op.name
    return _merged_clamps(_without_dead(Graph(ops, output)))


def _operation(
    node: fx.Node, model: nn.Module, alias: dict[str, str], constants: dict[str, Any], opaque: dict[str, str], name: str
) -> Op:
    if node.op == "placeholder":
        return Op("input", "input")
    if node.op == "get_attr":
        value = _attribute(model, str(node.target))
        return Op(name, "value", call=lambda: value)
    inputs = tuple(dict.fromkeys(alias[n.name] for n in node.all_input_nodes))
    call, module = _call(node, model, alias, inputs)
    kind, low, high, reason = _kind(node, module, constants, opaque)
    return Op(name, kind, inputs, call, module, low, high, reason)


def _call(
    node: fx.Node, model: nn.Module, alias: dict[str, str], inputs: tuple[str, ...]
) -> tuple[Callable[..., Any], nn.Module | None]:
    """The node as a function of the results of `inputs`, its constants filled in."""
    module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
    if module is not None and len(node.args) == 1 and isinstance(node.args[0], fx.Node) and not node.kwargs:
        return module, module
    target = module if module is not None else node.target

    def call(*values: Any) -> Any:
        known = dict(zip(inputs, values, strict=True))
        args = fx.node.map_arg(node.args, lambda n: known[alias[n.name]])
        kwargs = fx.node.map_arg(node.kwargs, lambda n: known[alias[n.name]])
        if node.op == "call_method":
            return getattr(args[0], str(target))(*args[1:], **kwargs)
        return target(*args, **kwargs)

    return call, module


def _kind(
    node: fx.Node, module: nn.Module | None, constants: dict[str, Any], opaque: dict[str, str]
) -> tuple[Kind, float | None, Any, str]:
    """Kind, bounds of a clamp, and why the inside is not quantized."""
    if module is None:
        kind = FUNCTIONS.get(node.target, "function")
        if kind == "clamp":
            bounds = _function_bounds(node, constants)
            return ("function", None, None, "") if bounds is None else ("clamp", *bounds, "")
        constant = any(n.name in constants for n in node.all_input_nodes)
        if kind in ("add", "concat") and (len(node.all_input_nodes) < 2 or constant or "alpha" in node.kwargs):
            kind = "function"
        return kind, None, None, "functional call: its weights are not seen" if constant and kind == "function" else ""
    if str(node.target) in opaque:
        return "function", None, None, opaque[str(node.target)]
    if isinstance(module, CONVS):
        return "conv", None, None, ""
    if isinstance(module, nn.Linear):
        return "linear", None, None, ""
    if isinstance(module, NORMS) and module.running_mean is not None:
        return "batchnorm", None, None, ""
    if isinstance(module, nn.ReLU):
        return "clamp", 0.0, None, ""
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return "clamp", float(module.min_val), float(module.max_val), ""
    for kinds, kind in ((MAX_POOLS, "max-pool"), (AVG_POOLS, "avg-pool"), (RESHAPES, "reshape")):
        if isinstance(module, kinds):
            return kind, None, None, ""  # type: ignore[return-value]
    matrix = any(p.dim() >= 2 for p in module.parameters())
    return "function", None, None, f"no quantizer for the weights of {type(module).__name__}" if matrix else ""


def _function_bounds(node: fx.Node, constants: dict[str, Any]) -> tuple[float | None, Any] | None:
    """Lower and upper bound of a functional clamp; None where they are not constants."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if "relu6" in name:
        return 0.0, 6.0
    if "relu" in name:
        return 0.0, None
    given = [node.kwargs.get("min", node.kwargs.get("min_val")), node.kwargs.get("max", node.kwargs.get("max_val"))]
    if name == "minimum":
        given = [None, node.args[1]]
    else:
        for place, value in enumerate(node.args[1:3]):
            given[place] = value
        if name == "hardtanh":
            given = [-1.0 if given[0] is None else given[0], 1.0 if given[1] is None else given[1]]
    lower, upper = (_constant(value, constants) for value in given)
    if isinstance(lower, Tensor | str) or isinstance(upper, str):
        return None
    return lower, upper


def _constant(value: Any, constants: dict[str, Any]) -> Any:
    """A bound as a number or a tensor; the string "variable" where it depends on the image."""
    if isinstance(value, fx.Node):
        return constants.get(value.name, "variable")
    return value if value is None or isinstance(value, Tensor) else float(value)


def _evaluate(op: Op, values: dict[str, Any], example: Tensor) -> Any:
    if op.kind == "input":
        return example.clone()
    assert op.call is not None
    with torch.no_grad():
        return op.call(*(values[name] for name in op.inputs))


def _settle(op: Op, values: dict[str, Any]) -> Op:
    """The operation with its shape, and with the kind that its result shows."""
    value = values[op.name]
    if op.kind == "value":
        return op
    if not isinstance(value, Tensor):
        return replace(op, kind="reshape" if op.kind == "reshape" and isinstance(value, tuple | list) else "value")
    op = replace(op, shape=tuple(value.shape))
    if op.kind == "clamp":  # its constants are the bounds; what remains is the tensor that flows
        return replace(op, inputs=op.inputs[:1], call=None)
    if op.kind == "function" and not op.inputs:
        return replace(op, kind="value")
    if op.kind == "function" and len(op.inputs) == 1 and not op.reason:
        source = values[op.inputs[0]]
        if isinstance(source, Tensor) and source.shape == value.shape and torch.equal(source, value):
            return replace(op, kind="reshape")  # in eval mode it does nothing (stochastic depth, say)
    return op


def _merged_clamps(graph: Graph) -> Graph:
    """The graph with each clamp that only another clamp reads merged into that one (min(relu(x), bound), say)."""
    for op in list(graph.ops):
        before = graph.by_name[op.inputs[0]] if op.kind == "clamp" else None
        if before is not None and before.kind == "clamp" and graph.only_reader(before.name) is not None:
            lower = max((b for b in (before.lower, op.lower) if b is not None), default=None)
            graph.replace([replace(op, lower=lower, upper=tighter(before.upper, op.upper))])
            graph.remove(before.name)
    return graph


def _without_dead(graph: Graph) -> Graph:
    """The graph without operations that nothing reads."""
    needed = {graph.output}
    for op in reversed(graph.ops):
        if op.name in needed:
            needed.update(op.inputs)
    return Graph([op for op in graph.ops if op.name in needed or op.kind == "input"], graph.output)


def _name(node: fx.Node) -> str:
    """Path of the module, or the module in which a function is called and the function's name."""
    if node.op in ("call_module", "get_attr"):
        return str(node.target)
    scope = list((node.meta.get("nn_module_stack") or {}).values())
    path = scope[-1][0] if scope else ""
    what = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.name)
    return f"{path}.{what.strip('_')}".lstrip(".")


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    taken.add(found)
    return found


def _attribute(model: nn.Module, path: str) -> Tensor:
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value  # type: ignore[no-any-return]
