"""QBitOpt: the bits of all sites are allocated anew while the network is trained, always within a hard budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd
import torch

from qexplore.allocate import Answer, Budget, allocate, cost
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.table import identity
from qexplore.numerics import checked_bits
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.steps import State, takes
from qexplore.qat.fisher import MEASURED, NOISES, Fisher
from qexplore.qat.oscillation import Oscillation
from qexplore.qat.quantizers import bits_of
from qexplore.qat.settings import Settings, defaults_of
from qexplore.qat.steps import train_quantized
from qexplore.qat.training import Actors, Idle, Training
from qexplore.report import Event, Report

TAU = 250  # steps
TIMES = 30  # re-allocations that a short training has room for
SECONDS = 2.0  # for the integer programme of one re-allocation


@dataclass(frozen=True)
class Allocation:
    """How bits are allocated in training.

    weight_bits, activation_bits, kb, gbops: the budget, as in qexplore.allocate.Budget; 0 is no limit. least, most: the
    menu of bits. every: steps from one allocation to the next; 0 is QBitOpt's τ = 250, or less where a training is so
    short that it would hardly re-allocate: a thirtieth of its steps. warmup, freeze: shares of the training before the
    first re-allocation and after the last. momentum: of the moving means of the squared gradients. noise:
    "measured" or "model" (see Fisher.losses). exact: the integer programme, or the convex hull filled greedily.
    Where the paper's numbers are not known to us, they are the project's own choice.
    """

    weight_bits: float = 0.0
    activation_bits: float = 0.0
    kb: float = 0.0
    gbops: float = 0.0
    least: int = 2
    most: int = 8
    every: int = 0
    warmup: float = 0.0
    freeze: float = 0.3
    momentum: float = 0.99
    noise: str = MEASURED
    exact: bool = True

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise UnknownName("model of the noise", self.noise, NOISES)
        if checked_bits(self.least) > checked_bits(self.most):
            raise QexploreError(f"The menu of bits goes from {self.least} to {self.most}: give least ≤ most.")
        if self.every < 0 or not 0 <= self.warmup + self.freeze <= 1 or not 0 <= self.momentum < 1:
            raise QexploreError(
                "Re-allocation needs every ≥ 0, warmup + freeze from 0 to 1 and a momentum from 0 to below 1; not "
                f"{self.every}, {self.warmup} + {self.freeze} and {self.momentum}."
            )

    @property
    def budget(self) -> Budget:
        limits = {name: getattr(self, name) or None for name in (field.name for field in fields(Budget))}
        return Budget(**limits)

    def period(self, steps: int) -> int:
        """Steps from one allocation to the next in a training of `steps`."""
        return self.every or min(TAU, max(1, steps // TIMES))

    @property
    def menu(self) -> range:
        return range(self.least, self.most + 1)


@STEPS.register("qbitopt")
@takes(defaults_of(Settings) | defaults_of(Allocation))
def qbitopt(network: Network, calibration: Calibration, report: Report, **settings: Any) -> Network:
    """QBitOpt: quantization-aware training in which the bits of all sites are allocated anew every τ steps (Peters et
    al. 2023).

    Sensitivities are FIT's, from the gradients of the training; the budget is a hard limit at every step: the training
    starts from the best allocation by gradients of a first pass, not trained on. Steps follow the bits with the range
    kept. settings: of Settings and of Allocation. Raises InfeasibleBudget.
    """
    names = defaults_of(Allocation)
    plan = Allocation(**{name: value for name, value in settings.items() if name in names})
    training = Settings(**{name: value for name, value in settings.items() if name not in names})
    budget = plan.budget
    if not budget.limits():
        raise QexploreError(
            "The step 'qbitopt' has no budget: set weight_bits, activation_bits, kb or gbops, such as "
            "qbitopt.weight_bits=4."
        )
    actors: Actors = [Reallocation(plan), Oscillation(training.damping, training.freezing)]
    return train_quantized(network, calibration, report, training, actors, name="qbitopt", budget=budget.limits())


class Reallocation(Idle):
    """Allocates the bits before the first step, and again every so many steps."""

    name = "reallocation"
    WARM = 4  # batches whose gradients make the first allocation

    def __init__(self, plan: Allocation) -> None:
        self.plan = plan
        self.fisher = Fisher(plan.momentum)
        self._resumed = False

    def begin(self, training: Training) -> list[Event]:
        self.fisher.watch(training.trainable.quantizers)
        if self._resumed:
            return []
        for number, (x, y) in enumerate(training.images.epoch(training.settings.epochs)):
            if number == self.WARM:
                break
            training.loss(x, y).backward()  # type: ignore[no-untyped-call]
            self.fisher.take(len(y))
        training.optimizers.zero()
        return [self.allocate(training)]

    def after_backward(self, training: Training) -> None:
        self.fisher.take(training.settings.batch)

    def after_step(self, training: Training) -> list[Event]:
        if training.at % self.plan.period(training.steps) or not self._open(training):
            return []
        return [self.allocate(training)]

    def _open(self, training: Training) -> bool:
        """Whether bits may change after the step that was just done."""
        done = training.at / training.steps
        return self.plan.warmup <= done <= 1 - self.plan.freeze

    def allocate(self, training: Training) -> Event:
        """The best bits by what the gradients say now; the sites take them on."""
        if self.plan.noise == MEASURED:
            x, _ = next(training.images.epoch(training.epoch, min(training.batch, training.images.per_epoch - 1)))
            self.fisher.sample(training, x)
        quantizers = training.trainable.quantizers
        before = bits_of(quantizers)
        answer = allocate(self.table(training), self.plan.budget, exact=self.plan.exact, time_limit=SECONDS)
        for name, bits in answer.bits.items():
            quantizers[name].set_bits(bits)
        return self._event(training, before, answer)

    def table(self, training: Training) -> pd.DataFrame:
        """Site × bits → loss, as `allocate` takes it."""
        losses = self.fisher.losses(training, self.plan.menu, self.plan.noise)
        sites = [training.network.site(name) for name in training.trainable.quantizers]
        return pd.DataFrame(
            [{**identity(site), "bits": b, "loss": losses[site.name, b]} for site in sites for b in self.plan.menu]
        )

    def _event(self, training: Training, before: Mapping[str, int], answer: Answer) -> Event:
        last = training.at + self.plan.period(training.steps) > training.steps * (1 - self.plan.freeze)
        return {
            "event": "allocation",
            "at": training.at,
            "bits": answer.bits,
            "cost": cost(pd.DataFrame([identity(site) for site in training.network.sites]), answer.bits),
            "budget": self.plan.budget.limits(),
            "loss": answer.loss,
            "changed": sum(before[name] != bits for name, bits in answer.bits.items()),
            "exact": answer.exact,
            "frozen": last,
        }

    def state(self) -> State:
        names = list(self.fisher.traces)
        traces = torch.tensor([self.fisher.traces[name] for name in names], dtype=torch.float64)
        return {"traces": traces}, {"names": names, "steps": self.fisher.steps}

    def load(self, state: State) -> None:
        tensors, facts = state
        self.fisher.traces = dict(zip(facts["names"], tensors["traces"].tolist(), strict=True))
        self.fisher.steps, self._resumed = facts["steps"], True
