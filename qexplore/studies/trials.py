"""Variants of recipes carried out on tasks under several seeds, each judged on the evaluation images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network import Judged, judge
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.recipes.images import images_of
from qexplore.report import Event, Report
from qexplore.studies.kept import Kept, Measured, key_of
from qexplore.zoo import Data, Task

CALIBRATION = 256  # images a seed draws
KEPT = ("training-started", "allocation")  # events that a trial remembers
HANDED_OVER = "handed-over"


class NotMeasured(QexploreError):
    """Figures that were not asked for."""


Draw = Callable[[str, int], Task]
"""(name of a task, seed) → the task as that seed has it."""


@dataclass(frozen=True)
class Variant:
    """A recipe under the name that it has in a table; seeded: whether seeds can make a difference."""

    table: str
    name: str
    recipe: Recipe
    seeded: bool = True


@dataclass(frozen=True)
class Trial:
    """One variant on one task under one seed; seconds: of carrying the recipe out, not of judging; events: those of
    KEPT, in order, and where bits were allocated HANDED_OVER with those of the network at the end.
    """

    table: str
    name: str
    task: str
    seed: int
    judged: Judged
    seconds: float
    events: tuple[Event, ...] = ()

    @property
    def images(self) -> int:
        """How many it was judged on."""
        return self.judged.accuracy.images


@dataclass(frozen=True)
class Gauge:
    """Figures other than accuracy: a table of them, its unit, and the function task → name → value."""

    table: str
    unit: str
    read: Callable[[Task], Mapping[str, float]]


@dataclass(frozen=True)
class Reading:
    """One figure of a gauge on one task under one seed."""

    table: str
    name: str
    task: str
    seed: int
    value: float


@dataclass(frozen=True)
class Trials:
    """All trials and readings of a study, and what FP32 reaches on each task."""

    fp32: dict[str, Judged]
    done: tuple[Trial, ...]
    readings: tuple[Reading, ...] = ()

    def of(self, table: str, name: str, task: str) -> list[Trial]:
        """The trials of one variant on one task, a seed each; NotMeasured where there is none."""
        found = [t for t in self.done if (t.table, t.name, t.task) == (table, name, task)]
        if not found:
            raise NotMeasured(f"{name} was not measured")
        return found

    def read(self, table: str, name: str, task: str) -> list[float]:
        """A gauge's figure on one task, a value a seed; NotMeasured where there is none."""
        found = [r.value for r in self.readings if (r.table, r.name, r.task) == (table, name, task)]
        if not found:
            raise NotMeasured(f"{name} was not measured")
        return found


def seeded(name: str, seed: int) -> Task:
    """The task `name` with 256 calibration images drawn anew from its training and calibration parts.

    The evaluation part is untouched, and so are the weights.
    """
    task = Task(name)
    parts = [task.data.tensors(part) for part in ("train", "calibration")]
    x, y = (torch.cat(each) for each in zip(*parts))
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:CALIBRATION]
    data = Data(
        calibration=(x[chosen], y[chosen]), evaluation=task.data.tensors("evaluation"), interval=task.data.interval
    )
    return Task(model=task.model, data=data, example=task.example)


def carry_out(
    variants: Sequence[Variant],
    gauges: Sequence[Gauge],
    tasks: Sequence[str],
    seeds: int,
    report: Report,
    draw: Draw = seeded,
    kept: Kept | None = None,
) -> Trials:
    """Every variant and gauge on every task under the seeds 0 … seeds - 1; a variant that no seed changes once.

    A recipe that stands in two tables is carried out once for both. kept: trials that need not be done again, to which
    new ones are added as they end.
    """
    kept = kept or Kept()
    own = {name: Task(name) for name in tasks}
    fp32 = {name: _judge(task, task.model) for name, task in own.items()}
    plan = [
        (variant, task, seed)
        for variant in variants
        for task in tasks
        for seed in range(seeds if variant.seeded else 1)
    ]
    done: list[Trial] = []
    for number, (variant, name, seed) in enumerate(plan):
        key, drawn = key_of(variant.recipe, name, own[name].model, seed), getattr(draw, "__name__", "")
        measured = kept.get(key, drawn)
        if measured is None:
            report.progress(number, len(plan), f"{variant.table}: {variant.name} on {name}, seed {seed}")
            measured = _carry_out(variant.recipe, draw(name, seed), seed)
            kept.add(key, measured, drawn)
        judged, seconds, events = measured.judged, measured.seconds, measured.events
        done.append(Trial(variant.table, variant.name, name, seed, judged, seconds, events))
    report.progress(len(plan), len(plan), "reading gauges")
    readings = [
        Reading(gauge.table, key, name, seed, value)
        for gauge in gauges
        for name in tasks
        for seed in range(seeds)
        for key, value in gauge.read(draw(name, seed)).items()
    ]
    return Trials(fp32, tuple(done), tuple(readings))


def _carry_out(recipe: Recipe, task: Task, seed: int) -> Measured:
    events: list[Event] = []
    report = Report(lambda event: events.append(event) if event["event"] in KEPT else None)
    clock = time.perf_counter()
    network = prepare(task, recipe, seed, report)
    seconds = time.perf_counter() - clock
    if any(event["event"] == "allocation" for event in events):
        events.append({"event": HANDED_OVER, "bits": network.bits})
    return Measured(_judge(task, network), seconds, tuple(events))


def _judge(task: Task, network: Callable[[Tensor], Tensor]) -> Judged:
    return judge(network, images_of(task))
