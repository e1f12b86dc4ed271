"""What is known of a recipe on a task: measured by a run of this home, else stored with the profile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from qexplore.debugging import markdown
from qexplore.recipes import Recipe
from qexplore.runs import FINISHED, Run
from qexplore.runs.profiles import Profile
from qexplore.ui.post_training.choice import Choice, without, word
from qexplore.ui.stored import store
from qexplore.ui.work.words import accuracy_of


@dataclass(frozen=True)
class Known:
    """A value and where it comes from: a run, or None for the stored profile."""

    value: Any
    run: Run | None = None


def spec_of(kind: str, profile: Profile, recipe: Recipe) -> dict[str, Any]:
    """The run of `kind` ("recipe", "ablation", "debug") for a recipe on the profile's task."""
    return {"kind": kind, "task": profile.task, "recipe": word(recipe), "seed": 0}


def ablation(profile: Profile, recipe: Recipe) -> Known | None:
    """The ablation table of a recipe; None where nobody has measured it."""
    return _known("ablation", profile, recipe, "ablation.parquet", _table, _stored_ablation)


def diagnosis(profile: Profile, recipe: Recipe) -> Known | None:
    """The document of a debugging run; None where nobody has made one."""
    return _known("debug", profile, recipe, "debug.json", _document, _stored_diagnosis)


def report(known: Known) -> str | None:
    """The report of a diagnosis as Markdown; None where its run has left none."""
    if known.run is None:
        return markdown(known.value)
    file = store().folder(known.run.id) / "report.md"
    return file.read_text(encoding="utf-8") if file.exists() else None


def variant(profile: Profile, choice: Choice, table: pd.DataFrame | None) -> Known | None:
    """Accuracy of the recipe as it is switched: a row of the ablation that has just these steps, else a run of it.

    The value has accuracy, low, high, images, and where known seconds, change, gained, lost and p.
    """
    row = None if table is None else _row(choice, table)
    return Known(row) if row is not None else measured(profile, choice.recipe)


def measured(profile: Profile, recipe: Recipe) -> Known | None:
    """Accuracy of a recipe as a run of this home has measured it: accuracy, low, high, images, seconds."""
    run = store().find(spec_of("recipe", profile, recipe))
    accuracy = accuracy_of(run) if run else None
    if run is None or accuracy is None:
        return None
    steps = (run.result or {}).get("steps") or []
    took = sum(float(step.get("seconds") or 0.0) for step in steps if step.get("name") != "fp32")
    value = {"accuracy": accuracy["value"], **{key: accuracy[key] for key in ("low", "high", "images")}}
    return Known({**value, "seconds": took if steps else run.seconds}, run)


def trouble(spec: dict[str, Any]) -> str:
    """Why the newest run of this spec did not come to its end; nothing where it did, or where there is none."""
    run = store().find(spec, state=FINISHED)
    return (run.error or run.state) if run is not None and run.state in ("failed", "lost") else ""


def _row(choice: Choice, table: pd.DataFrame) -> dict[str, Any] | None:
    steps = tuple(dict.fromkeys(choice.complete.optional))
    for row in table.to_dict("records"):
        kept = _kept(steps, str(row["group"]), str(row["step"]), choice.complete)
        if kept == choice.recipe.optional:
            return {str(key): value for key, value in row.items()}
    return None


def _kept(steps: tuple[str, ...], group: str, step: str, recipe: Recipe) -> tuple[str, ...] | None:
    """Optional steps that a row of an ablation was carried out with; None for rows of another kind."""
    if group == "build-up":
        upto = steps.index(step) + 1 if step in steps else 0
        return without(recipe, steps[upto:]).optional
    return without(recipe, [step]).optional if group == "without" and step in steps else None


def _known(
    kind: str,
    profile: Profile,
    recipe: Recipe,
    file: str,
    read: Callable[[str], Any],
    stored: Callable[[Profile, str], Any],
) -> Known | None:
    run = store().find(spec_of(kind, profile, recipe))
    path = store().folder(run.id) / file if run else None
    if run is not None and path is not None and path.exists():
        return Known(read(str(path)), run)
    name = word(recipe)
    value = stored(profile, name) if isinstance(name, str) else None
    return None if value is None else Known(value)


@st.cache_data(max_entries=50, show_spinner=False)
def _table(path: str) -> pd.DataFrame:
    return pd.read_parquet(path)


@st.cache_data(max_entries=50, show_spinner=False)
def _document(path: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return document


def _stored_ablation(profile: Profile, name: str) -> pd.DataFrame | None:
    rows = profile.ablation
    rows = rows[rows["recipe"] == name]
    return rows if len(rows) else None


def _stored_diagnosis(profile: Profile, name: str) -> dict[str, Any] | None:
    return profile.diagnoses.get(name) if (profile.folder / "debug.json").exists() else None
