"""Variants of recipes carried out on tasks under several seeds, each judged on the evaluation images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.network import Judged, judge
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.zoo import Data, Task

CALIBRATION = 256  # images a seed draws


@dataclass(frozen=True)
class Variant:
    """A recipe under the name that it has in a table; seeded: whether seeds can make a difference."""

    table: str
    name: str
    recipe: Recipe
    seeded: bool = True


@dataclass(frozen=True)
class Trial:
    """One variant on one task under one seed; seconds: of carrying the recipe out, not of judging."""

    table: str
    name: str
    task: str
    seed: int
    judged: Judged
    seconds: float


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
        """The trials of one variant on one task, a seed each."""
        return [t for t in self.done if (t.table, t.name, t.task) == (table, name, task)]

    def read(self, table: str, name: str, task: str) -> list[float]:
        """A gauge's figure on one task, a value a seed."""
        return [r.value for r in self.readings if (r.table, r.name, r.task) == (table, name, task)]


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
    variants: Sequence[Variant], gauges: Sequence[Gauge], tasks: Sequence[str], seeds: int, report: Report
) -> Trials:
    """Every variant and gauge on every task under the seeds 0 … seeds - 1; a variant that no seed changes once."""
    fp32 = {name: _judge(Task(name), Task(name).model) for name in tasks}
    plan = [
        (variant, task, seed)
        for variant in variants
        for task in tasks
        for seed in range(seeds if variant.seeded else 1)
    ]
    done = []
    for number, (variant, name, seed) in enumerate(plan):
        report.progress(number, len(plan), f"{variant.table}: {variant.name} on {name}, seed {seed}")
        task = seeded(name, seed)
        clock = time.perf_counter()
        network = prepare(task, variant.recipe, seed)
        seconds = time.perf_counter() - clock
        done.append(Trial(variant.table, variant.name, name, seed, _judge(task, network), seconds))
    report.progress(len(plan), len(plan), "reading gauges")
    readings = [
        Reading(gauge.table, key, name, seed, value)
        for gauge in gauges
        for name in tasks
        for seed in range(seeds)
        for key, value in gauge.read(seeded(name, seed)).items()
    ]
    return Trials(fp32, tuple(done), tuple(readings))


def _judge(task: Task, network: Callable[[Tensor], Tensor]) -> Judged:
    return judge(network, task.data.batches("evaluation"))
