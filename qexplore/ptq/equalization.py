"""Cross-layer equalization: the channels between two layers scaled so that both sides have equal ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.network.graph import LAYERS, Layer, Op
from qexplore.ptq.channels import Channels, results_of_nothing
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report

# Share of the largest range in its tensor below which a channel counts as dead: its bias is all that it says, and
# divided by a tiny scale that would set the range of the whole activation.
NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Pair:
    """Two layers that only a positively homogeneous path joins.

    clamp: the ReLU between them, bounded or not, "" where there is none. function: another homogeneous function on the
    path, a PReLU say, "" where there is none.
    """

    first: str
    second: str
    clamp: str
    function: str = ""


@STEPS.register("equalize")
def equalize(network: Network, calibration: Calibration, report: Report, *, sweeps: int = 40) -> Network:
    """Cross-layer equalization: s = √(r₁ / r₂), W₁ ← W₁ / s, b₁ ← b₁ / s, W₂ ← W₂ s (white paper §3.2).

    Pairs are joined by a single path of ReLU, PReLU, pooling and flattening, so only inside residual blocks; a
    depthwise triple is two pairs with the fixed point c = (r₁ r₂ r₃)^(1/3). The bound of a ReLU6 between them becomes
    6 / s, one value a channel, so that the function stays the same. Sweeps end when no scale moves by more than 1 %.
    Dead channels, r₁ or r₂ below a millionth of the largest in its tensor, keep s = 1 (project's own choice).
    """
    if sweeps < 1:
        raise QexploreError(f"Equalization needs at least one sweep over the pairs; not {sweeps}.")
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
    known = results_of_nothing(network)
    found = []
    for op in network.graph.ops:
        if op.kind in LAYERS:
            clamp, function, end = _follow(network, op, known)
            if end is not None and _channels_agree(network, op, end, known[end.inputs[0]].shape):
                found.append(Pair(op.name, end.name, clamp, function))
    return found


def _follow(network: Network, op: Op, known: Mapping[str, Any]) -> tuple[str, str, Op | None]:
    """From a layer along its only reader to the next layer, with what a Pair names on the way; None where the path
    branches, adds, mixes channels or is not homogeneous.
    """
    channels = Channels.of(network.layers[op.name])
    clamp, function, source, at = "", "", op, network.graph.only_reader(op.name)
    while at is not None and at.kind not in LAYERS:
        if at.kind == "clamp" and at.lower == 0 and not clamp:
            clamp = at.name
        elif channels.scaled_by(at, source.name, known):
            function = at.name
        elif not channels.kept_by(at, source.name, known):
            return clamp, function, None
        source, at = at, network.graph.only_reader(at.name)
    return clamp, function, at


def _channels_agree(network: Network, first: Op, second: Op, shape: torch.Size) -> bool:
    """Whether the channels of `first` are what `second`, which reads a tensor of `shape`, sums over."""
    number, layer = len(network.layers[first.name].weight), network.layers[second.name]
    inputs = layer.weight.shape[1] * layer.groups
    if first.kind == "conv" and second.kind == "linear":  # over dimension 1 only where there is no other
        return len(shape) == 2 and inputs % number == 0
    return first.kind == second.kind and inputs == number


def _equalize_pair(network: Network, pair: Pair) -> float:
    """Scales one pair; returns how far the largest scale was from 1, in octaves."""
    first, second = network.layers[pair.first], network.layers[pair.second]
    r1, r2 = output_ranges(first), input_ranges(second, len(first.weight))
    scale = _scales(r1, r2)
    moved = float(scale.log2().abs().max())
    if moved == 0:
        return 0.0
    bias = first.bias if first.bias is None else first.bias / scale
    network.set_layer(pair.first, first.weight / scale.view(-1, *[1] * (first.weight.dim() - 1)), bias)
    if first.mean is not None and first.std is not None:
        first.mean, first.std = first.mean / scale, first.std / scale
    network.set_layer(pair.second, _scale_inputs(second, scale), second.bias)
    _scale_bound(network, pair.clamp, scale, Channels.of(first))
    return moved


def _scales(r1: Tensor, r2: Tensor) -> Tensor:
    """√(r₁ / r₂) of each channel, 1 where either is dead."""
    alive = (r1 > NEGLIGIBLE * r1.max()) & (r2 > NEGLIGIBLE * r2.max())
    ratio = r1 / r2
    fits = torch.isfinite(ratio) & (ratio > torch.finfo(ratio.dtype).tiny)
    return torch.where(alive, torch.where(fits, ratio.sqrt(), r1.sqrt() / r2.sqrt()), torch.ones_like(r1))


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


def _scale_bound(network: Network, clamp: str, scale: Tensor, channels: Channels) -> None:
    op = network.graph.by_name[clamp] if clamp else None
    if op is None or op.upper is None:
        return
    bound = torch.as_tensor(op.upper) / channels.bounds(scale, torch.Size(op.shape))
    network.graph.replace([replace(op, upper=bound)])
    network.set_graph(network.graph)
