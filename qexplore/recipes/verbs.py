"""The public verbs that need a network: run a recipe, and score the sites."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qexplore.allocate.sensitivity import MENU, METRICS, sensitivity_table
from qexplore.network import Accuracy, Judged, Network, compare, judge
from qexplore.network.table import site_table
from qexplore.plain import plain
from qexplore.ptq import Calibration, Keeper
from qexplore.ptq.steps import images_at_once
from qexplore.recipes.carry_out import captured, parts_of, prepare
from qexplore.recipes.images import evaluation_images
from qexplore.recipes.schema import Recipe
from qexplore.report import Event, Report
from qexplore.zoo import Task


@dataclass(frozen=True)
class Result:
    """What a recipe has made of a task.

    steps: a row a step (name, accuracy, low, high, images, loss, gained, lost, seconds), "fp32" first. loss: mean
    cross-entropy in nats; gained, lost: images right now and wrong after the row before, and the reverse.
    sites: the table of sites.
    network: callable as the model was.
    """

    task: str
    recipe: Recipe
    seed: int
    fp32_accuracy: Accuracy
    accuracy: Accuracy
    steps: pd.DataFrame
    sites: pd.DataFrame
    network: Network

    def to_document(self) -> dict[str, Any]:
        """The result as the command line prints it in JSON; NaN becomes null."""
        return {
            "task": self.task,
            "recipe": self.recipe.to_document(),
            "seed": self.seed,
            "fp32": self.fp32_accuracy.to_document(),
            "accuracy": self.accuracy.to_document(),
            "steps": plain(self.steps),
            "sites": plain(self.sites),
        }


def run(
    task: Task | str,
    recipe: str | Path | Mapping[str, Any] | Recipe,
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
    keeper: Keeper | None = None,
) -> Result:
    """Carries `recipe` out on `task` and evaluates after every step, on the evaluation images alone.

    recipe: a preset's name, a path to YAML, a document, or a Recipe. Same recipe, seed and machine: same numbers.
    keeper: where steps that train keep their states, and from which they go on.
    """
    task, recipe, report = _task(task), Recipe.load(recipe), Report(on_event)
    network = captured(task, recipe)  # before the images are decoded and evaluated, which can take long
    task.data.prepare(report, parts_of(task, recipe))
    rows: list[dict[str, Any]] = []
    found: list[Judged] = []
    clock = time.perf_counter()

    def measure(name: str, network: Callable[..., Any]) -> None:
        nonlocal clock
        seconds = time.perf_counter() - clock if rows else 0.0  # FP32 is no step
        found.append(judge(network, evaluation_images(task, report)))
        rows.append({"name": name, **columns(found[-1], found[-2:][0]), "seconds": seconds})
        report.event("step", **rows[-1])
        clock = time.perf_counter()

    measure("fp32", task.model)
    network = prepare(task, recipe, seed, report, measure, keeper, network)
    fp32, last = found[0].accuracy, found[-1].accuracy
    return Result(task.name, recipe, seed, fp32, last, pd.DataFrame(rows), site_table(network), network)


def sensitivity(
    task: Task | str,
    metric: str = "fisher",
    bits: Sequence[int] = MENU,
    *,
    recipe: str | Path | Mapping[str, Any] | Recipe = "w8a8",
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> pd.DataFrame:
    """The table site × bits → expected rise of the loss, by `metric`, after `recipe` has prepared the network.

    Columns: site, index, kind, layer, op, numel, macs, tied, input, sparsity, bitmap, bits, loss, metric.
    """
    METRICS.get(metric)
    task, report = _task(task), Report(on_event)
    task.data.prepare(report, ("calibration",))
    network = prepare(task, Recipe.load(recipe), seed, report)
    return sensitivity_table(network, _calibration(task, seed), metric, bits, report)


def _calibration(task: Task, seed: int) -> Calibration:
    return Calibration(task.data, seed, batch=images_at_once(task.example))


def columns(found: Judged, before: Judged) -> dict[str, Any]:
    """The columns that tell how a network did, and on how many images it did other than the one `before`."""
    accuracy, paired = found.accuracy, compare(before, found)
    return {
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "images": accuracy.images,
        "loss": found.loss,
        "gained": paired.gained,
        "lost": paired.lost,
        **({} if accuracy.metric == "accuracy" else {"metric": accuracy.metric}),
    }


def _task(task: Task | str) -> Task:
    return Task(task) if isinstance(task, str) else task
