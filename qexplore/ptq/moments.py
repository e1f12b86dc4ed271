"""What batch norms tell of activations without an image: mean and standard deviation of each channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Op


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each channel, in the unit of the activation."""

    mean: Tensor
    std: Tensor


def clamped_mean(moments: Moments, lower: float | None, upper: Tensor | float | None) -> Tensor:
    """E[clamp(x)] of a normal x, channel by channel.

    ReLU: γ φ(-β/γ) + β [1 - Φ(-β/γ)] (white paper §3.3, analytic bias correction); with an upper bound u the mass
    above h = (u - β)/γ counts u each (derived for this project).
    """
    mean, std = moments.mean.double(), moments.std.double().clamp(min=1e-12)
    low = (torch.full_like(mean, -math.inf if lower is None else lower) - mean) / std
    high = (torch.as_tensor(math.inf if upper is None else upper, dtype=torch.float64).flatten() - mean) / std
    inside = std * (_density(low) - _density(high)) + mean * (_below(high) - _below(low))
    below = 0.0 if lower is None else lower * _below(low)
    above = 0.0 if upper is None else torch.as_tensor(upper, dtype=torch.float64).flatten() * (1 - _below(high))
    return (inside + below + above).float()


def expected_means(network: Network, moments: dict[str, Moments]) -> dict[str, Tensor]:
    """Operation → mean of each channel of its result, for those whose mean the batch norms tell.

    moments: of the outputs of layers. Additions add, averages and reshapes keep; what follows a
    maximum, an addition that is clamped, or the network's input is not known.
    """
    means: dict[str, Tensor] = {}
    for op in network.graph.ops:
        found = _mean_of(op, network, means, moments)
        if found is not None:
            means[op.name] = found
    return means


def _mean_of(op: Op, network: Network, means: dict[str, Tensor], moments: dict[str, Moments]) -> Tensor | None:
    if op.kind in LAYERS:
        return moments[op.name].mean if op.name in moments else None
    if op.kind == "clamp" and op.inputs[0] in moments:
        return clamped_mean(moments[op.inputs[0]], op.lower, op.upper)
    known = [means[name] for name in op.inputs if name in means]
    if len(known) < len(op.inputs) or not known:
        return None
    if op.kind == "add":
        return torch.stack(known).sum(dim=0)
    if op.kind == "concat" and len(op.shape) == 4:
        return torch.cat(known)
    return known[0] if op.kind == "avg-pool" or (op.kind == "reshape" and _same_channels(op, network)) else None


def _same_channels(op: Op, network: Network) -> bool:
    before = network.graph.by_name[op.inputs[0]].shape
    return op.shape[:2] == before[:2]


def _density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)


def _below(x: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr(x)
    return below
