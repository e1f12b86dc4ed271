"""Cross-layer equalization: the channels between two layers scaled so that both sides have equal ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Layer, Op
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report


@dataclass(frozen=True)
class Pair:
    """Two layers that only a positively homogeneous path joins; clamp: the bounded ReLU between them, if there is
    one.
    """

    first: str
    second: str
    clamp: str


@STEPS.register("equalize")
def equalize(network: Network, calibration: Calibration, report: Report, *, sweeps: int = 40) -> Network:
    """Cross-layer equalization: s = √(r₁ / r₂), W₁ ← W₁ / s, b₁ ← b₁ / s, W₂ ← W₂ s (white paper §3.2).

    Pairs are joined by a single path of ReLU, pooling and flattening, so only inside residual blocks; a depthwise
    triple
    is two pairs with the fixed point c = (r₁ r₂ r₃)^(1/3). The bound of a ReLU6 between them becomes 6 / s, one value a
    channel, so that the function stays the same. Sweeps end when no scale moves by more than 1 %.
    """
    pairs = scalable_pairs(network)
    for sweep in range(sweeps):
        report.progress(sweep, sweeps, "equalizing")
        moved = max((_equalize_pair(network, pair) for pair in pairs), default=0.0)
        if moved < 0.01:
            break
    report.progress(sweeps, sweeps, "equalizing")
    return network


def scalable_pairs(network: Network) -> list[Pair]:
    """Every pair of layers between which channels can be rescaled without changing the network's function."""
    found = []
    for op in network.graph.ops:
        if op.kind in LAYERS:
            clamp, end = _follow(network, op)
            if end is not None and _channels_agree(network.layers[op.name], network.layers[end.name]):
                found.append(Pair(op.name, end.name, clamp))
    return found


def _follow(network: Network, op: Op) -> tuple[str, Op | None]:
    """From a layer along its only reader to the next layer; None where the path branches, adds or is not
    homogeneous.
    """
    clamp, at = "", network.graph.only_reader(op.name)
    while at is not None and at.kind not in LAYERS:
        homogeneous = at.kind in ("max-pool", "avg-pool") or (at.kind == "reshape" and _keeps_channels(network, at))
        if at.kind == "clamp" and at.lower == 0 and not clamp:
            clamp = at.name
        elif not homogeneous:
            return clamp, None
        at = network.graph.only_reader(at.name)
    return clamp, at


def _keeps_channels(network: Network, op: Op) -> bool:
    """Whether the elements of a channel stay together and the channels in order: dropout, and flattening of all but
    the batch.
    """
    what = type(op.module).__name__ if op.module is not None else op.name.rsplit(".", 1)[-1].split("#")[0]
    if what.lower() not in ("flatten", "identity", "dropout", "dropout2d", "contiguous", "view", "reshape"):
        return False
    before = network.graph.by_name[op.inputs[0]].shape
    return op.shape == before or op.shape == (1, math.prod(before[1:]))


def _channels_agree(first: Layer, second: Layer) -> bool:
    inputs = second.weight.shape[1] * second.groups
    return inputs % first.weight.shape[0] == 0 and (second.kind == "linear" or inputs == first.weight.shape[0])


def _equalize_pair(network: Network, pair: Pair) -> float:
    """Scales one pair; returns how far the largest scale was from 1, in octaves."""
    first, second = network.layers[pair.first], network.layers[pair.second]
    r1, r2 = output_ranges(first), input_ranges(second, len(first.weight))
    scale = torch.where((r1 > 0) & (r2 > 0), torch.sqrt(r1 / r2.clamp(min=1e-30)), torch.ones_like(r1))
    moved = float(scale.log2().abs().max())
    if moved == 0:
        return 0.0
    bias = first.bias if first.bias is None else first.bias / scale
    network.set_layer(pair.first, first.weight / scale.view(-1, *[1] * (first.weight.dim() - 1)), bias)
    network.set_layer(pair.second, _scale_inputs(second, scale), second.bias)
    _scale_bound(network, pair.clamp, scale)
    return moved


def output_ranges(layer: Layer) -> Tensor:
    """Largest absolute weight of each output channel [out]."""
    return layer.weight.abs().flatten(1).amax(dim=1)


def input_ranges(layer: Layer, channels: int) -> Tensor:
    """Largest absolute weight that meets each of `channels` channels before the layer [channels]."""
    if layer.kind == "linear":
        return layer.weight.abs().reshape(len(layer.weight), channels, -1).amax(dim=(0, 2))
    out, inside = layer.weight.shape[:2]
    grouped = layer.weight.abs().reshape(layer.groups, out // layer.groups, inside, -1)
    return grouped.amax(dim=(1, 3)).flatten()


def _scale_inputs(layer: Layer, scale: Tensor) -> Tensor:
    if layer.kind == "linear":
        each = layer.weight.shape[1] // len(scale)
        return layer.weight * scale.repeat_interleave(each)
    out, inside = layer.weight.shape[:2]
    factor = scale.reshape(layer.groups, 1, inside).expand(-1, out // layer.groups, -1).reshape(out, inside)
    return layer.weight * factor.view(out, inside, *[1] * (layer.weight.dim() - 2))


def _scale_bound(network: Network, clamp: str, scale: Tensor) -> None:
    op = network.graph.by_name[clamp] if clamp else None
    if op is None or op.upper is None:
        return
    per_channel = scale.view(-1, *[1] * (len(op.shape) - 2))
    network.graph.replace([replace(op, upper=torch.as_tensor(op.upper) / per_channel)])
    network.set_graph(network.graph)
