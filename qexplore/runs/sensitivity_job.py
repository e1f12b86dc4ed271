"""Scores every site by a metric that a profile does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qexplore.allocate.sensitivity import MENU, METRICS, sensitivity_table
from qexplore.ptq import Calibration
from qexplore.ptq.steps import images_at_once
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.runs.profile_extent import few
from qexplore.zoo import Task


def score(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Score the sites of a task by one metric; file sensitivity.parquet, as `sensitivity_table` gives it.

    spec: task, metric, recipe ("w8a8"), seed (0), images (of the calibration part, None: all). The network is prepared
    and scored as a profile does both, so that the table can stand beside those of a profile.
    """
    metric, seed = METRICS.canonical(str(spec["metric"])), int(spec.get("seed", 0))
    task = Task(spec["task"])
    task.data.prepare(report, ("calibration",))
    network = prepare(task, Recipe.load(spec.get("recipe", "w8a8")), seed, report)
    small = few(task, spec.get("images"))
    calibration = Calibration(small.data, seed, batch=images_at_once(task.example))
    table = sensitivity_table(network, calibration, metric, MENU, report)
    table.to_parquet(folder / "sensitivity.parquet")
    return {"task": spec["task"], "metric": metric, "images": calibration.images, "sites": len(network.sites)}
