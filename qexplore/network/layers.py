"""The layers of a graph with weights of their own: what steps change, and the user's model never sees."""

from __future__ import annotations

from torch import Tensor, nn

from qexplore.network.graph import LAYERS, Graph, Layer, Op, channels_last


def layers_of(graph: Graph) -> dict[str, Layer]:
    """The layers of `graph`. Their modules, capture's own, let go of weights that no other operation reads."""
    layers = {op.name: _layer(op) for op in graph.ops if op.kind in LAYERS}
    elsewhere = _read_elsewhere(graph)
    for layer in layers.values():
        weight = layer.module.weight
        if isinstance(weight, nn.Parameter) and id(weight) not in elsewhere:
            weight.data = weight.data.new_empty(0)
    return layers


def _layer(op: Op) -> Layer:
    assert op.module is not None
    weight, bias = op.module.weight, op.module.bias
    assert isinstance(weight, Tensor)
    kept = bias.detach().float().clone() if isinstance(bias, Tensor) else None
    return Layer(op.name, op.kind, op.module, channels_last(weight.detach().float()), kept)


def _read_elsewhere(graph: Graph) -> set[int]:
    """Parameters that operations other than layers read."""
    others = [op for op in graph.ops if op.kind not in LAYERS]
    inside = {id(p) for op in others if op.module is not None for p in op.module.parameters()}
    return inside | {id(op.call()) for op in others if op.kind == "value" and not op.inputs and op.call is not None}
