"""The kinds of run that the engine does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qexplore.recipes import Recipe, run
from qexplore.recipes.ablation import ablate, to_document
from qexplore.report import Report
from qexplore.runs import prepared
from qexplore.runs.checkpoints import FileKeeper
from qexplore.runs.debug_job import diagnose
from qexplore.runs.jobs import JOBS
from qexplore.runs.profile_job import profile
from qexplore.runs.sensitivity_job import score
from qexplore.zoo import Task


@JOBS.register("recipe")
def recipe(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Carry a recipe out and evaluate after every step; files steps.parquet and sites.parquet.

    spec: task, recipe (a preset or a document), seed. Steps that train go on from the run's checkpoints.
    """
    keeper = FileKeeper(folder, report)
    found = run(spec["task"], spec["recipe"], int(spec.get("seed", 0)), report.forward, keeper)
    found.steps.to_parquet(folder / "steps.parquet")
    found.sites.to_parquet(folder / "sites.parquet")
    document = found.to_document()
    del document["sites"]  # a table of its own
    return document


@JOBS.register("ablation")
def ablation(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Carry a recipe out with and without its steps; file ablation.parquet.

    spec: task, recipe (a preset or a document), seed.
    """
    task, made, seed = Task(spec["task"]), Recipe.load(spec["recipe"]), int(spec.get("seed", 0))
    table = ablate(task, made, seed, report.forward)
    table.to_parquet(folder / "ablation.parquet")
    return to_document(task.name, made, seed, table)


@JOBS.register("measure")
def measure(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Measure an allocation on all evaluation images.

    spec: task, recipe, seed, bits ({site: bits}).
    """
    report.progress(0, 1, "measuring")
    found = prepared.answer({**spec, "images": None}, report)
    report.progress(1, 1, "measuring")
    return {"task": spec["task"], "bits": spec["bits"], **found}


JOBS.register("debug")(diagnose)
JOBS.register("profile")(profile)
JOBS.register("sensitivity")(score)
