"""The network carried out operation by operation on all calibration images: once real, once quantized, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.execute import Plan, Step, Values
from qexplore.network.graph import Layer, channels_last
from qexplore.ptq.memory import Memory
from qexplore.ptq.steps import Calibration


class Sweep:
    """Results of a plan for every batch, kept only as long as a later operation reads them."""

    def __init__(self, plan: Plan, memory: Memory) -> None:
        self.plan, self.memory = plan, memory
        self.batches: list[Values] = []

    def add(self, x: Tensor) -> None:
        """One more batch of images, which stay as they are: no plan writes into its input."""
        self.batches.append(self.memory.new())
        self.batches[-1][self.plan.input], _ = self.memory.place(x, self.memory.held)

    def carry_out(self, step: Step) -> None:
        def act(values: Values) -> Any:
            step.act(values)
            return values[step.name]

        self.put(step.name, act)

    def put(self, name: str, result: Callable[[Values], Any]) -> None:
        """The result of an operation for every batch, a function of the results before it."""
        held = self.memory.held
        for values in self.batches:
            values[name], held = self.memory.place(result(values), held)

    def free(self, step: Step) -> None:
        for values in self.batches:
            for name in step.frees:
                del values[name]

    def of(self, name: str) -> list[Any]:
        """The result of an operation, a tensor a batch."""
        return [values[name] for values in self.batches]


def side_by_side(
    network: Network, calibration: Calibration, batch: int, memory: Memory
) -> Iterator[tuple[Step, Sweep, Sweep]]:
    """Every step of the network with the sweep of real weights, done, and that of quantized ones, not yet done.

    Activations are real in both. Whoever iterates carries the step out on the second sweep, in a way of its own
    for layers that it changes. What the first sweep read in the step is gone by then.
    """
    with network.using(network.uniform_activations(None)):
        plans = network.real_plan(), network.plan()
    real, quantized = (Sweep(plan, memory) for plan in plans)
    for x, _ in replace(calibration, batch=batch).batches():
        images = channels_last(x)
        real.add(images)
        quantized.add(images)
    for first, second in zip(plans[0].steps, plans[1].steps, strict=True):
        real.carry_out(first)
        real.free(first)
        yield second, real, quantized
        quantized.free(second)


def channel_means(outputs: Sequence[Tensor], layer: Layer) -> Tensor:
    """Mean of a layer's output over images and places, one value a channel, float64."""
    sums, count = [], 0
    for y in outputs:
        axis = _axis(y, layer)
        sums.append(y.sum(dim=[d for d in range(y.dim()) if d != axis], dtype=torch.float64))
        count += y.numel() // y.shape[axis]
    return torch.stack(sums).sum(dim=0) / count


def channels_first(y: Tensor, layer: Layer) -> Tensor:
    """A layer's output as [channels, images × places]."""
    return y.movedim(_axis(y, layer), 0).flatten(1)


def per_channel(values: Tensor, layer: Layer, like: Tensor) -> Tensor:
    """One value a channel, in a shape that broadcasts over the layer's output `like`."""
    return values if layer.kind == "linear" else values.view(-1, *[1] * (like.dim() - 2))


def _axis(y: Tensor, layer: Layer) -> int:
    return y.dim() - 1 if layer.kind == "linear" else 1
