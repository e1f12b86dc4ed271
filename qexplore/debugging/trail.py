"""What the steps of a recipe have made of the real network, whose function none of them should change."""

from __future__ import annotations

from typing import NamedTuple

import torch

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
    """Watches a recipe being carried out; `after` is called after every step."""

    def __init__(self, task: Task, calibration: Calibration) -> None:
        self.calibration = calibration
        with torch.no_grad():  # not in inference mode: see `judge`
            self.expected = [task.model(x) for x, _ in calibration.batches()]
        self.changes: list[Change] = []

    def after(self, step: str, network: Network) -> None:
        """Takes note of the network after `step`; a correction of biases is for the quantized weights alone."""
        if STEPS.canonical(step) == CORRECTION:
            return
        plan = network.real_plan()
        pairs = zip(self.calibration.batches(), self.expected, strict=True)
        with torch.inference_mode():
            total = sum(float(divergence(want, plan(x)).sum()) for (x, _), want in pairs)
        self.changes.append(Change(step, total / self.calibration.images))
