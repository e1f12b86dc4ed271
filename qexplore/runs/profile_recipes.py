"""What a profile knows about recipes: accuracy after each step, what each step buys, and what is wrong with some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from qexplore.debugging import debug
from qexplore.recipes import ablate, run
from qexplore.report import Report
from qexplore.zoo import Task

ABLATION = (
    *("group", "name", "step", "accuracy", "low", "high", "images", "loss", "gained", "lost", "seconds"),
    *("change", "p", "complete", "recipe"),
)


def step_table(task: Task, recipes: Sequence[str], seed: int, report: Report) -> pd.DataFrame:
    """Accuracy after each step of each of `recipes`."""
    found = [
        run(task, name, seed).steps.rename(columns={"name": "step"}).assign(recipe=name)
        for name in report.track(recipes, "recipes step by step")
    ]
    return pd.concat(found, ignore_index=True)


def ablation_table(task: Task, recipes: Sequence[str], seed: int, report: Report) -> pd.DataFrame:
    """The rows of `ablate` for each of `recipes`, named in the column `recipe`."""
    found = [ablate(task, name, seed).assign(recipe=name) for name in report.track(recipes, "ablations")]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=ABLATION)


def diagnoses(task: Task, recipes: Sequence[str], seed: int, report: Report) -> dict[str, dict[str, Any]]:
    """Recipe → document of `debug`, with its fixes measured."""
    return {name: debug(task, name, seed).to_document() for name in report.track(recipes, "debugging")}
