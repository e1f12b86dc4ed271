"""The network carried out operation by operation on all calibration images: once real, once quantized, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.execute import Plan, Step, Values
from qexplore.network.graph import Layer
from qexplore.ptq.steps import Calibration


class Sweep:
    """Results of a plan for every batch, kept only as long as a later operation reads them."""

    def __init__(self, plan: Plan, batches: Sequence[Tensor]) -> None:
        self.batches: list[Values] = [{plan.input: x} for x in batches]

    def carry_out(self, step: Step) -> None:
        for values in self.batches:
            step.act(values)

    def free(self, step: Step) -> None:
        for values in self.batches:
            for name in step.frees:
                del values[name]

    def of(self, name: str) -> list[Any]:
        """The result of an operation, a tensor a batch."""
        return [values[name] for values in self.batches]


def side_by_side(network: Network, calibration: Calibration, batch: int) -> Iterator[tuple[Step, Sweep, Sweep]]:
    """Every step of the network with the sweep of real weights, done, and that of quantized ones, not yet done.

    Activations are real in both. Whoever iterates carries the step out on the second sweep, in a way of its own
    for layers that it changes.
    """
    images = torch.cat([x for x, _ in calibration.batches()])
    with network.using(network.uniform_activations(None)):
        plans = network.real_plan(), network.plan()
    # Each sweep has its own copy: operations in place on one must not be seen by the other.
    real, quantized = (Sweep(plan, [x.clone() for x in images.split(batch)]) for plan in plans)  # type: ignore[no-untyped-call]
    for first, second in zip(plans[0].steps, plans[1].steps, strict=True):
        real.carry_out(first)
        yield second, real, quantized
        real.free(first)
        quantized.free(second)


def channel_means(outputs: Sequence[Tensor], layer: Layer) -> Tensor:
    """Mean of a layer's output over images and places, one value a channel, float64."""
    flat = [channels_first(y, layer) for y in outputs]
    total = torch.stack([y.sum(dim=1, dtype=torch.float64) for y in flat]).sum(dim=0)
    return total / sum(y.shape[1] for y in flat)


def channels_first(y: Tensor, layer: Layer) -> Tensor:
    """A layer's output as [channels, images × places]."""
    axis = y.dim() - 1 if layer.kind == "linear" else 1
    return y.movedim(axis, 0).flatten(1)


def per_channel(values: Tensor, layer: Layer, like: Tensor) -> Tensor:
    """One value a channel, in a shape that broadcasts over the layer's output `like`."""
    return values if layer.kind == "linear" else values.view(-1, *[1] * (like.dim() - 2))
