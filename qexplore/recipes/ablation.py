"""Ablation: what each step of a recipe buys, and what leaving it out costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qexplore.errors import QexploreError
from qexplore.network import Judged, compare, judge
from qexplore.plain import plain
from qexplore.recipes.carry_out import check, prepare
from qexplore.recipes.images import images_of
from qexplore.recipes.schema import Recipe
from qexplore.recipes.verbs import columns
from qexplore.registry import key_of
from qexplore.report import Event, Report
from qexplore.zoo import Task

REFERENCE, BUILD_UP, WITHOUT, SIDE = "reference", "build-up", "without", "side"


@dataclass(frozen=True, eq=False)
class Variant:
    """One row: the recipe less some steps. step: the one that the row is about; activations: whether they are
    quantized; complete: whether this is the row of the complete recipe.
    """

    group: str
    name: str
    step: str
    whole: Recipe
    left_out: tuple[str, ...] = ()
    activations: bool = True
    complete: bool = False

    @property
    def recipe(self) -> Recipe:
        """BadRecipe where no step is left."""
        return self.whole.without(self.left_out)


@dataclass(frozen=True)
class Measured:
    """How a network did, and how many seconds it took to make."""

    judged: Judged
    seconds: float


def ablate(
    task: Task | str,
    recipe: str | Path | Mapping[str, Any] | Recipe,
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> pd.DataFrame:
    """Carries `recipe` out with more and more of its optional steps, and without each of them (project's own choice).

    Rows: the float network; "none" of the optional steps, then one more at a time up to the complete recipe; the
    complete recipe without each one and what cannot stand without it; its weights alone, its activations alone. A row
    whose steps make no recipe is left out with a log event; equal ones are carried out once.
    Columns: group, name, step, accuracy, low, high, images, loss, seconds (to carry the recipe out, evaluation not
    counted), change (of the accuracy, as a fraction), gained, lost, p (McNemar's), complete. Change, gained, lost and p
    compare with the complete recipe, whose row alone is `complete`.
    """
    task, recipe, report = Task(task) if isinstance(task, str) else task, Recipe.load(recipe), Report(on_event)
    check(recipe)
    real = Measured(judge(task.model, images_of(task)), 0.0)
    rows = [row for row in variants(recipe) if row.complete or _possible(row, report)]
    measured = _measure(task, rows, seed, report)
    whole = next(found for row, found in measured.items() if row.complete)
    measured = {Variant(REFERENCE, "fp32", "", recipe): real, **measured}
    return pd.DataFrame([_columns(row, found, whole) for row, found in measured.items()])


def variants(recipe: Recipe) -> list[Variant]:
    """The rows of an ablation of `recipe` but that of the float network."""
    steps = tuple(dict.fromkeys(recipe.optional))
    found = [Variant(BUILD_UP, "none", "", recipe, steps, complete=not steps)]
    for number, step in enumerate(steps, 1):
        found.append(Variant(BUILD_UP, f"+ {step}", step, recipe, steps[number:], complete=number == len(steps)))
    found += [Variant(WITHOUT, f"without {step}", step, recipe, (step,)) for step in steps]
    # Real weights go with the biases and roundings that were never fitted to quantized ones.
    weights = tuple(step.name for step in recipe.steps if key_of(step.name) == key_of("weight-ranges"))
    found.append(Variant(SIDE, "weights only", "", recipe, activations=False))
    found.append(Variant(SIDE, "activations only", "", recipe, weights))
    return found


def to_document(task: str, recipe: Recipe, seed: int, table: pd.DataFrame) -> dict[str, Any]:
    """An ablation as the command line prints it in JSON."""
    return {
        "task": task,
        "recipe": recipe.to_document(),
        "seed": seed,
        "fp32": _accuracy(table[table["group"] == REFERENCE]),
        "accuracy": _accuracy(table[table["complete"]]),
        "rows": plain(table),
    }


def _possible(row: Variant, report: Report) -> bool:
    try:
        check(row.recipe)
    except QexploreError as error:
        _log(row, error, report)
        return False
    return True


def _log(row: Variant, error: QexploreError, report: Report) -> None:
    report.event("log", text=f"The row {row.name!r} is left out: {error}")


def _measure(task: Task, rows: list[Variant], seed: int, report: Report) -> dict[Variant, Measured]:
    """What was measured of every row, in their order; the complete recipe is carried out first, so that what is wrong
    with it is told at once.
    """
    shared: dict[tuple[str, ...], list[Variant]] = {}
    for row in sorted(rows, key=lambda row: not row.complete):
        shared.setdefault(tuple(step.name for step in row.recipe.steps), []).append(row)
    found: dict[Variant, Measured] = {}
    for done, alike in enumerate(shared.values()):
        report.progress(done, len(shared), alike[0].name)
        try:
            found |= _carry_out(task, alike, seed, _within(report, done, len(shared), alike[0].name))
        except QexploreError as error:
            if alike[0].complete:
                raise
            _log(alike[0], error, report)
    report.progress(len(shared), len(shared), "ablation")
    return {row: found[row] for row in rows if row in found}


def _within(report: Report, done: int, total: int, name: str) -> Report:
    """A report for the work of one row: whatever it tells is told as the row's progress, so that it can be stopped."""
    return Report(lambda event: report.progress(done, total, name))


def _carry_out(task: Task, alike: list[Variant], seed: int, report: Report) -> dict[Variant, Measured]:
    """Rows of one recipe: made once, judged with real activations where the row says so."""
    clock = time.perf_counter()
    network = prepare(task, alike[0].recipe, seed, report)
    seconds = time.perf_counter() - clock
    found = {}
    for row in alike:
        with network.using({} if row.activations else network.uniform_activations(None)):
            found[row] = Measured(judge(network, images_of(task)), seconds)
    return found


def _columns(row: Variant, found: Measured, whole: Measured) -> dict[str, Any]:
    paired = compare(whole.judged, found.judged)
    return {
        "group": row.group,
        "name": row.name,
        "step": row.step,
        **columns(found.judged, whole.judged),
        "seconds": found.seconds,
        "change": paired.change,
        "p": paired.p,
        "complete": row.complete,
    }


def _accuracy(row: pd.DataFrame) -> dict[str, Any]:
    names = {"accuracy": "value", "low": "low", "high": "high", "images": "images", "metric": "metric"}
    document: dict[str, Any] = plain(row.rename(columns=names)[[to for of, to in names.items() if of in row]])[0]
    return document
