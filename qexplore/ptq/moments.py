"""What batch norms tell of activations without an image: mean and standard deviation of each channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Bound, Layer, Op
from qexplore.numerics import Moments
from qexplore.ptq.batchnorm import moments_of
from qexplore.ptq.channels import Channels, results_of_nothing


class Told(NamedTuple):
    """Moments of an operation's result, and where the channels lie that have them."""

    moments: Moments
    channels: Channels


def tell(network: Network) -> dict[str, Told]:
    """Operation → moments of its result, for those of which the batch norms tell.

    A batch norm has the mean β and the deviation |γ|, folded or not. From there (derived for this project, all values
    taken as normal and as independent of each other): a clamp has the moments of the clamped normal, an addition adds
    means and variances, a layer without a batch norm has the mean W E[x] + b and the variance Σ W² Var[x], averages and
    reshapes keep. What follows a maximum, another function or the network's input alone is not known. The bias b is
    that of the present bits.
    """
    told: dict[str, Told] = {}
    known = results_of_nothing(network)
    for op in network.graph.ops:
        found = _of(op, network, told, known)
        if found is not None:
            told[op.name] = found
    return told


def told_inputs(network: Network) -> dict[str, Told]:
    """Layer → moments of what it sums over, for those layers of whose input the batch norms tell."""
    told = tell(network)
    sources = {name: network.graph.by_name[network.graph.by_name[name].inputs[0]] for name in network.layers}
    return {
        name: told[source.name]
        for name, source in sources.items()
        if source.name in told and _sums_over(network.layers[name], told[source.name].channels, source)
    }


def _of(op: Op, network: Network, told: Mapping[str, Told], known: Mapping[str, Any]) -> Told | None:
    if op.kind in LAYERS:
        return _of_layer(network.layers[op.name], network.bias(op.name), network.graph.by_name[op.inputs[0]], told)
    if op.kind == "batchnorm" and op.module is not None:
        moments = Moments(*moments_of(op.module))
        return Told(moments, Channels(len(moments.mean), last=False))
    sources = [told[name] for name in op.inputs if name in told]
    if not sources or op.inputs[0] not in told:
        return None
    first = sources[0]
    if op.kind == "clamp":
        return Told(first.moments.clamped(op.lower, op.upper), first.channels) if _fits(op.upper, first) else None
    if op.kind == "add" and len(sources) == 2:
        return _sum(*sources)
    if op.kind == "concat" and len(sources) == len(op.inputs):
        return _side_by_side(op, sources)
    kept = op.kind in ("avg-pool", "reshape") and first.channels.kept_by(op, op.inputs[0], known)
    return first if kept else None


def _fits(bound: Bound, told: Told) -> bool:
    return not isinstance(bound, Tensor) or bound.numel() in (1, told.channels.number)


def _sum(first: Told, second: Told) -> Told | None:
    if first.channels != second.channels:
        return None
    (a, b), channels = (first.moments, second.moments), first.channels
    return Told(Moments(a.mean + b.mean, torch.hypot(a.std, b.std)), channels)


def _side_by_side(op: Op, sources: list[Told]) -> Told | None:
    number = sum(source.channels.number for source in sources)
    if op.shape[1] != number or any(source.channels.last for source in sources):
        return None
    parts = [source.moments for source in sources]
    moments = Moments(torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts]))
    return Told(moments, Channels(number, last=False))


def _of_layer(layer: Layer, bias: Tensor | None, source: Op, told: Mapping[str, Told]) -> Told | None:
    channels = Channels.of(layer)
    if layer.mean is not None and layer.std is not None:
        return Told(Moments(layer.mean, layer.std), channels)
    before = told.get(source.name)
    if before is None or not _sums_over(layer, before.channels, source):
        return None
    mean = mean_error(layer.weight, before.moments.mean, layer)
    variance = mean_error(layer.weight.square(), before.moments.std.square(), layer)
    return Told(Moments(mean if bias is None else mean + bias, variance.sqrt()), channels)


def _sums_over(layer: Layer, channels: Channels, source: Op) -> bool:
    """Whether the layer's inputs are these channels of the result of `source`."""
    if layer.kind == "linear":
        inside = layer.weight.shape[1]
        return (channels.last or len(source.shape) == 2) and inside % channels.number == 0
    return not channels.last and channels.number == layer.weight.shape[1] * layer.groups


def mean_error(change: Tensor, mean: Tensor, layer: Layer) -> Tensor:
    """ΔW E[x] of each output channel: kernels summed over their places; zero padding is ignored."""
    if layer.kind == "linear":
        return change @ mean.repeat_interleave(change.shape[1] // len(mean))
    out, inside = change.shape[:2]
    summed = change.flatten(2).sum(dim=2).view(layer.groups, out // layer.groups, inside)
    return torch.einsum("goi,gi->go", summed, mean.view(layer.groups, inside)).flatten()
