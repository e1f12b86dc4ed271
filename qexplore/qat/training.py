"""A training in progress: what is trained, with what, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from qexplore.network import Judged, Network, judge
from qexplore.numerics.bfloat16 import half_precision
from qexplore.ptq import Calibration
from qexplore.ptq.steps import State
from qexplore.qat.average import Average
from qexplore.qat.images import Images
from qexplore.qat.losses import mixed_loss
from qexplore.qat.norms import DOUBLE
from qexplore.qat.optimizing import Optimizers
from qexplore.qat.quantizers import Quantizer
from qexplore.qat.settings import Settings
from qexplore.qat.teacher import teacher_of
from qexplore.qat.trainable import Trainable
from qexplore.report import Event


class Training:
    """Everything that the loop and those who act in it need.

    name: of the recipe's step. at: optimizer steps done. epoch, batch: what comes next; total, counted: sum and number
    of the losses of this epoch; first: the loss of the first step. held: that of the held-out images after the first
    epoch.
    """

    def __init__(
        self,
        network: Network,
        calibration: Calibration,
        settings: Settings,
        quantizers: dict[str, Quantizer],
        name: str = "qat",
    ) -> None:
        self.network, self.calibration, self.settings, self.name = network, calibration, settings, name
        self.images = Images(calibration, settings)
        self.trainable = Trainable(network, quantizers, settings.batch_norm)
        self.teacher = teacher_of(network, calibration) if settings.distill else None
        self.optimizers = Optimizers(self.trainable, settings)
        self.average = Average(self.trainable, settings.ema)
        self.steps = settings.epochs * self.images.per_epoch
        self.at = self.epoch = self.batch = self.counted = 0
        self.total = 0.0
        self.first: float | None = None
        self.held: float | None = None
        self._noise = torch.Generator()
        self.trainable.mixed = self._mixed if settings.noise < 1 else None

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What is left of the present epoch."""
        return self.images.epoch(self.epoch, self.batch)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch, differentiable."""
        settings = self.settings
        self._noise = self.images.generator(self.epoch, -1 - self.batch)
        with half_precision(settings.half):
            taught = None if self.teacher is None else self.teacher(x)
            logits = self.trainable(x)
        taught = None if taught is None else taught.float()
        return mixed_loss(logits.float(), y, taught, settings.distill, settings.temperature, settings.smoothing)

    def step(self, loss: float) -> None:
        """Moves the parameters along their gradients and counts."""
        self.optimizers.step(self.factor_at(self.at))
        self.trainable.hold()
        self.at, self.batch = self.at + 1, self.batch + 1
        self.total, self.counted = self.total + loss, self.counted + 1
        self.average.update(self.at)

    def next_epoch(self) -> None:
        self.epoch, self.batch, self.total, self.counted = self.epoch + 1, 0, 0.0, 0

    @property
    def folded_forward(self) -> bool:
        """Whether the quantizers of weights act on weights with their batch norm folded in."""
        return self.settings.batch_norm == DOUBLE

    def factor_at(self, at: int) -> float:
        """What the rates are multiplied with at the step `at`, from 0 on."""
        return self.settings.factor(at, self.steps, self.images.per_epoch)

    def held_out(self, waiting: Callable[[], None] = lambda: None) -> Judged:
        """What the network as it is now, or its average, says of the calibration images. No weight is trained on them;
        the first ranges, and the first bits where a training allocates, are found on them.

        waiting: called after each batch.
        """

        def logits(x: Tensor) -> Tensor:
            found = self.trainable(x)
            waiting()
            return found

        with self.evaluating():
            return judge(logits, self.calibration.batches())

    @contextmanager
    def evaluating(self, *, averaged: bool = True) -> Iterator[None]:
        """Running statistics, and where `averaged` the averages, if there are any; always restores."""
        with self.average.held() if averaged else nullcontext():
            self.trainable.training = False
            try:
                yield
            finally:
                self.trainable.training = True

    def _mixed(self, weight: Tensor, quantized: Tensor) -> Tensor:
        """QuantNoise: each weight quantized with the probability `noise`, else as it is."""
        keep = torch.rand(weight.shape, generator=self._noise) < self.settings.noise
        return torch.where(keep, quantized, weight)


class Actor(Protocol):
    """Somebody who acts in the training loop: reallocates bits, prunes, watches oscillation."""

    name: str
    plan: Any
    """What it was told to do, a dataclass, by which checkpoints know whose they are; None where the settings say it."""
    allocates: bool
    """Whether it gives the sites their bits, from the beginning on."""

    def begin(self, training: Training) -> list[Event]:
        """Before the first step, or after a checkpoint was loaded; what to tell."""

    def after_backward(self, training: Training) -> None:
        """The gradients are there."""

    def after_step(self, training: Training) -> list[Event]:
        """The parameters have moved; what to tell."""

    def after_epoch(self, training: Training) -> list[Event]:
        """What to tell once an epoch."""

    def state(self) -> State:
        """All that going on needs."""

    def load(self, state: State) -> None:
        """Takes back what `state` gave."""


class Idle:
    """An actor that does nothing; others override what they need."""

    name = ""
    plan: Any = None
    allocates = False

    def begin(self, training: Training) -> list[Event]:
        return []

    def after_backward(self, training: Training) -> None:
        return None

    def after_step(self, training: Training) -> list[Event]:
        return []

    def after_epoch(self, training: Training) -> list[Event]:
        return []

    def state(self) -> State:
        return {}, {}

    def load(self, state: State) -> None:
        return None


Actors = Sequence[Actor]
