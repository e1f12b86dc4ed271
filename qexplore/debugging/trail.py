"""What the steps of a recipe have made of the real network, whose function none of them should change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.divergence import divergence
from qexplore.ptq import STEPS, Calibration
from qexplore.zoo import Task

CORRECTION = "correct-bias"


class Change(NamedTuple):
    """A step, and how far the real network lies from the model after it (mean divergence in nats)."""

    step: str
    divergence: float


class Trail:
    """Watches a recipe being carried out; `after` is called after every step.

    A bias correction is no change of the function: it belongs to the quantized weights. So `biases` holds what biases
    real weights go with.
    """

    def __init__(self, task: Task, calibration: Calibration) -> None:
        self.calibration = calibration
        with torch.no_grad():  # not in inference mode: see `judge`
            self.expected = [task.model(x) for x, _ in calibration.batches()]
        self.changes: list[Change] = []
        self.biases: dict[str, Tensor] = {}
        self._seen: dict[str, Tensor | None] = {}

    def after(self, step: str, network: Network) -> None:
        """Takes note of the network after `step`."""
        corrected = STEPS.canonical(step) == CORRECTION
        for name, layer in network.layers.items():
            if name not in self._seen or layer.bias is not self._seen[name]:
                before = self.biases.get(name) if corrected else layer.bias
                self.biases[name] = torch.zeros(len(layer.weight)) if before is None else before
            self._seen[name] = layer.bias
        if not corrected:
            with biased(network, self.biases):
                plan = network.real_plan()
            pairs = zip(self.calibration.batches(), self.expected, strict=True)
            with torch.inference_mode():
                total = sum(float(divergence(want, plan(x)).sum()) for (x, _), want in pairs)
            self.changes.append(Change(step, total / self.calibration.images))


@contextmanager
def biased(network: Network, biases: Mapping[str, Tensor]) -> Iterator[Network]:
    """The network with other biases for some layers; always restores."""
    before = {name: network.layers[name].bias for name in biases}
    try:
        for name, bias in biases.items():
            network.set_bias(name, bias)
        yield network
    finally:
        for name, kept in before.items():
            network.layers[name].bias = kept
        network.set_bits({})  # the plan that was made is forgotten
