"""QBitOpt: the bits of all sites are allocated anew while the network is trained, always within a hard budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from qexplore.allocate import Answer, cost
from qexplore.allocate.sensitivity.fit import asked_of_answers, fisher_of, fit_of
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.table import identity
from qexplore.numerics.bfloat16 import half_precision
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.steps import State, takes
from qexplore.qat.fisher import ERRORS, MEASURED, Fisher
from qexplore.qat.limits import Limits, best, choices
from qexplore.qat.oscillation import Oscillation
from qexplore.qat.quantizers import bits_of
from qexplore.qat.settings import Settings, defaults_of
from qexplore.qat.steps import make_ready, train_quantized
from qexplore.qat.training import Actors, Idle, Training
from qexplore.report import Event, Report

TAU = 250  # steps
TIMES = 30  # re-allocations that a short training has room for
SLACK = 1e-6  # steps, within which a share of them is met
TRAINING, ANSWERS = "training", "answers"
GRADIENTS = (TRAINING, ANSWERS)
PASSES = 32  # steps of training for each batch that is looked at for the answers: some three per cent of the time
SUMMED = 16  # images whose gradients, of random sign, come as a sum


@dataclass(frozen=True)
class Allocation(Limits):
    """How bits are allocated in training: within Limits, and when.

    every: steps from one allocation to the next; 0 is QBitOpt's τ = 250, or less where a training is so short that it
    would hardly re-allocate: a thirtieth of its steps. wait, freeze: shares of the training before the first
    re-allocation and after the last. gradients: "training", those of its loss; or "answers", as the metric `fisher`
    has them, from passes of their own before each allocation: the loss of a network that answers as it should has
    hardly a gradient, and that of a distillation vanishes with its aim (both are the project's own choice).
    memory: momentum of the moving means of the traces (see Fisher), for each step or, of answers, for 16 images. error:
    "measured" or "model" (see Fisher.losses). Where the paper's numbers are not known to us, they are the project's own
    choice.
    """

    STEP: ClassVar[str] = "qbitopt"
    every: int = 0
    wait: float = 0.0
    freeze: float = 0.3
    gradients: str = TRAINING
    memory: float = 0.99
    error: str = MEASURED

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.error not in ERRORS:
            raise UnknownName("error of quantization called", self.error, ERRORS)
        if self.gradients not in GRADIENTS:
            raise UnknownName("kind of gradients called", self.gradients, GRADIENTS)
        shares = self.wait >= 0 and self.freeze >= 0 and self.wait + self.freeze <= 1
        if self.every < 0 or not shares or not 0 <= self.memory < 1:
            raise QexploreError(
                "Re-allocation needs every ≥ 0, wait and freeze from 0 to 1 in all and a memory from 0 to below 1; not "
                f"{self.every}, {self.wait} and {self.freeze}, and {self.memory}."
            )

    def period(self, steps: int) -> int:
        """Steps from one allocation to the next in a training of `steps`."""
        return self.every or min(TAU, max(1, steps // TIMES))

    def moments(self, steps: int) -> list[int]:
        """The steps of a training of `steps` after which bits are allocated anew; never after the last one."""
        period, least, most = self.period(steps), self.wait * steps, (1 - self.freeze) * steps
        return [at for at in range(period, steps, period) if least - SLACK <= at <= most + SLACK]


def _read(settings: Mapping[str, Any]) -> tuple[Allocation, Settings]:
    """What of the settings of a step each of both takes."""
    names = defaults_of(Allocation)
    plan = Allocation(**{name: value for name, value in settings.items() if name in names})
    training = Settings(**{name: value for name, value in settings.items() if name not in names})
    if not training.noise:
        raise QexploreError(
            "With noise: 0 no weight is quantized while it trains, so that QBitOpt has nothing to give bits to: set "
            "noise above 0."
        )
    return plan, training


@STEPS.register("qbitopt")
@takes(defaults_of(Settings) | defaults_of(Allocation), _read)
def qbitopt(network: Network, calibration: Calibration, report: Report, **settings: Any) -> Network:
    """QBitOpt: quantization-aware training in which the bits of all sites are allocated anew every τ steps (Peters et
    al. 2023).

    Sensitivities are FIT's, from the gradients of the training unless `gradients` says otherwise; the budget is a hard
    limit at every step. The training starts from the best allocation by the metric `fit`, or `fisher` with gradients:
    answers, on the calibration images, with ranges found at these bits unless an earlier training has learned them
    (project's own choice: a range that was found at other bits clips too much, or too little, and is slow to learn
    better); from then on steps follow the bits with the range kept. settings: of Settings and of Allocation. Raises
    InfeasibleBudget.
    """
    plan, training = _read(settings)
    budget = plan.budget.limits()
    make_ready(network, calibration, report, training, name="qbitopt", budget=budget)
    plan.check(network)
    start = first_allocation(network, calibration, report, plan)
    actors: Actors = [Reallocation(plan, start), Oscillation(training.damping, training.freezing)]
    return train_quantized(network, calibration, report, training, actors, name="qbitopt", budget=budget)


class Start(NamedTuple):
    """The first allocation, and the bits before it."""

    answer: Answer
    before: Mapping[str, int]


def first_allocation(network: Network, calibration: Calibration, report: Report, plan: Allocation) -> Start:
    """Gives the quantized sites of a network that is still to be trained their bits, and ranges that go with these."""
    before = dict(network.bits)
    sites = [network.site(name) for name in before]
    scored = fit_of if plan.gradients == TRAINING else fisher_of
    losses = scored(network, calibration, sites, plan.menu, report)
    answer = best(plan, choices(network, sites, plan.menu, losses), plan.locked(network))
    network.set_bits(answer.bits)
    return Start(answer, before)


class Reallocation(Idle):
    """Allocates the bits again every so many steps, from a start that was allocated before."""

    name = "reallocation"
    allocates = True
    WARM = 4  # batches whose gradients are there before the first step

    def __init__(self, plan: Allocation, start: Start | None = None) -> None:
        self.plan, self.start = plan, start
        self.fisher = Fisher(plan.memory, signed=plan.gradients == ANSWERS)
        self._resumed = False

    def begin(self, training: Training) -> list[Event]:
        if self.plan.gradients == TRAINING:
            self.fisher.watch(training.trainable.quantizers)
        if self._resumed:
            return []
        self._look(training, islice(training.images.epoch(training.settings.epochs), self.WARM))
        return [] if self.start is None else [self._event(training, self.start.before, self.start.answer)]

    def _look(self, training: Training, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """The gradients of some batches into the means, from passes that move nothing."""
        generator = torch.Generator().manual_seed(training.at)
        with training.evaluating(averaged=False):  # statistics of batch norms stay
            for x, y in batches:
                if self.plan.gradients == ANSWERS:
                    self._ask(training, x, generator)
                else:
                    training.loss(x, y).backward()  # type: ignore[no-untyped-call]
                    self.fisher.take(len(y))
        training.optimizers.zero()

    def _ask(self, training: Training, x: Tensor, generator: torch.Generator) -> None:
        """Asks the network's answers to some images how they hang on every site."""
        with self.fisher.watching(training.trainable.quantizers):
            for part in torch.split(x, SUMMED):
                with half_precision(training.settings.half):
                    logits = training.trainable(part)
                asked = asked_of_answers(logits.float(), logits, generator) / len(part)
                asked.backward()  # type: ignore[no-untyped-call]
                self.fisher.take(len(part))

    def after_backward(self, training: Training) -> None:
        if self.plan.gradients == TRAINING:
            self.fisher.take(training.images.batch, training.settings.noise)

    def after_step(self, training: Training) -> list[Event]:
        return [self.allocate(training)] if training.at in self.plan.moments(training.steps) else []

    def allocate(self, training: Training) -> Event:
        """The best bits by what the gradients say now; the sites take them on."""
        first = min(training.batch, training.images.per_epoch - 1)
        if self.plan.gradients == ANSWERS:
            few = max(1, self.plan.period(training.steps) // PASSES)
            self._look(training, islice(training.images.epoch(training.epoch, max(0, first + 1 - few)), few))
        if self.plan.error == MEASURED:
            x, _ = next(training.images.epoch(training.epoch, first))
            self.fisher.sample(training, x)
        quantizers = training.trainable.quantizers
        before = bits_of(quantizers)
        answer = best(self.plan, self.table(training), self.plan.locked(training.network))
        for name, bits in answer.bits.items():
            quantizers[name].set_bits(bits)
        return self._event(training, before, answer)

    def table(self, training: Training) -> pd.DataFrame:
        """Site × bits → loss, as `allocate` takes it."""
        losses = self.fisher.losses(training, self.plan.menu, self.plan.error)
        sites = [training.network.site(name) for name in training.trainable.quantizers]
        return choices(training.network, sites, self.plan.menu, losses)

    def _event(self, training: Training, before: Mapping[str, int], answer: Answer) -> Event:
        """What is told of an allocation; the bits are those that the quantizers have by now."""
        bits = {name: training.trainable.quantizers[name].spec.bits for name in answer.bits}
        sites = pd.DataFrame([identity(training.network, training.network.site(name)) for name in bits])
        return {
            "event": "allocation",
            "at": training.at,
            "bits": bits,
            "cost": cost(sites, bits),
            "budget": self.plan.budget.limits(),
            "loss": answer.loss,
            "changed": sum(before[name] != now for name, now in bits.items()),
            "exact": answer.exact,
            "frozen": training.at >= max(self.plan.moments(training.steps), default=0),
        }

    def state(self) -> State:
        return self.fisher.state()

    def load(self, state: State) -> None:
        self.fisher.load(state)
        self._resumed = True
