"""Layers that the user's code writes as calls: F.linear, F.conv2d and products with a weight that no image changes."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

CONVOLUTIONS: dict[Any, Any] = {F.conv1d: nn.Conv1d, F.conv2d: nn.Conv2d, F.conv3d: nn.Conv3d}
MATRIX_PRODUCTS = (torch.matmul, operator.matmul, "matmul")
SETTINGS = ("stride", "padding", "dilation", "groups")
BARE: dict[str, Any] = {"bias": False, "device": "meta"}  # the user's own weight and bias follow


class Written(NamedTuple):
    """A layer that is written as a call: what it amounts to, and the node that it is applied to."""

    layer: nn.Module
    source: fx.Node


def functional_layer(node: fx.Node, constants: dict[str, Any]) -> Written | None:
    """The layer that the call `node` amounts to, with the user's own weight; None where it is none, or where an image
    changes its weight or bias.

    constants: torch.fx's name → a value that no image changes.
    """
    given = dict(zip(("input", "weight", "bias", *SETTINGS), node.args)) | dict(node.kwargs)
    source = given.get("input")
    weight, bias = (_constant(given.get(name), constants) for name in ("weight", "bias"))
    if not isinstance(source, fx.Node) or source.name in constants:
        return None
    if not isinstance(weight, Tensor) or not weight.is_floating_point() or not isinstance(bias, Tensor | None):
        return None
    if isinstance(shift := given.get("bias"), fx.Node) and shift.name not in constants:
        return None
    layer = _layer(node, weight, bias, {name: given[name] for name in SETTINGS if name in given})
    return None if layer is None else Written(layer, source)


def weight_path(node: fx.Node) -> str:
    """Where the weight of the call is in the user's model, without the word weight: "attention.qkv"; "" where it has
    no path of its own.
    """
    weight = node.args[1] if len(node.args) > 1 else node.kwargs.get("weight")
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return ""
    path = str(weight.target)
    return next((path.removesuffix(end) for end in (".weight", "_weight") if path.endswith(end)), "")


def _layer(node: fx.Node, weight: Tensor, bias: Tensor | None, settings: dict[str, Any]) -> nn.Module | None:
    if node.target in MATRIX_PRODUCTS and weight.dim() == 2:
        return _with_weights(nn.Linear(*weight.shape, **BARE), weight.t().contiguous(), None)
    if node.target is F.linear and weight.dim() == 2:
        return _with_weights(nn.Linear(weight.shape[1], weight.shape[0], **BARE), weight, bias)
    if node.target not in CONVOLUTIONS or _hang_on_images(settings):
        return None
    outputs, inputs, *kernel = weight.shape
    inputs *= settings.get("groups", 1)
    return _with_weights(CONVOLUTIONS[node.target](inputs, outputs, tuple(kernel), **BARE, **settings), weight, bias)


def _hang_on_images(settings: dict[str, Any]) -> bool:
    """Whether one of them, or a number of a tuple among them, is worked out while the network runs."""
    found: list[fx.Node] = []
    fx.node.map_arg(tuple(settings.values()), found.append)
    return bool(found)


def _with_weights(module: Any, weight: Tensor, bias: Tensor | None) -> nn.Module:
    module.weight, module.bias = _parameter(weight), None if bias is None else _parameter(bias)
    return cast(nn.Module, module.eval())


def _parameter(value: Tensor) -> nn.Parameter:
    """The user's parameter itself, so that layers which share it are known to."""
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone(), requires_grad=False)


def _constant(value: Any, constants: dict[str, Any]) -> Any:
    return constants.get(value.name) if isinstance(value, fx.Node) else value
