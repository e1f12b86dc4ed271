"""A run in words."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from qexplore.figures.words import percent, seconds
from qexplore.metric import MIOU, named
from qexplore.runs import Run

ICONS = {
    "queued": ":material/schedule:",
    "running": ":material/progress_activity:",
    "done": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/cancel:",
    "lost": ":material/help:",
    "paused": ":material/pause_circle:",
}


def name(run: Run) -> str:
    """What a run does: 'recipe w8a8 on mobilenet-digits'; with its seed where that is not 0."""
    recipe = run.spec.get("recipe")
    recipe = recipe.get("name", "") if isinstance(recipe, dict) else recipe or ""
    named = {"recipe": "recipe", "ablation": "ablation of", "debug": "debugging of"}
    scored = f"sensitivity by {run.spec.get('metric', '')}"
    plain = {"measure": "measurement", "sensitivity": scored}.get(run.kind, run.kind)
    what = f"{named[run.kind]} {recipe}" if run.kind in named else plain
    seed = f", seed {run.spec['seed']}" if run.spec.get("seed") else ""
    return f"{what} on {run.task}{seed}" if run.task else what


def progress(run: Run) -> str:
    """Where an active run is, and how long it may still take."""
    if run.state == "queued":
        return "waits for its turn"
    left = run.seconds_left
    phase = run.message or "starting"
    return f"{phase} · {seconds(left)} left" if left else f"{phase} …"


def went_on(after: Run) -> str:
    """What leads from a run that ended early to the one that went on from it."""
    return f"Run {after.id} went on ({after.state})"


def outcome(run: Run) -> str:
    """How a run ended: its accuracy, or what it died of; what was asked to end needs no cause."""
    if run.state in ("cancelled", "paused"):
        return run.state
    if run.state != "done":
        return run.error or run.state
    accuracy, found = accuracy_of(run), run.result or {}
    if accuracy is None:
        scored = run.kind == "sensitivity" and "sites" in found
        return f"{found['sites']:,} sites scored on {found['images']:,} images" if scored else "done"
    what = f"{named(MIOU)} " if accuracy.get("metric") == MIOU else ""
    return f"{what}{percent(accuracy['value'])} on {accuracy['images']:,} images"


def _said(run: Run) -> str:
    """The outcome where no icon tells the state beside it."""
    said = outcome(run)
    return f"{run.state}: {said}" if run.state in ("failed", "lost") and run.error else said


def accuracy_of(run: Run) -> dict[str, Any] | None:
    """The accuracy that a run has measured, None where it measures none."""
    found = (run.result or {}).get("accuracy")
    return found if isinstance(found, dict) else None


def ago(moment: float | None) -> str:
    """How long ago something was."""
    if moment is None:
        return ""
    minutes = (time.time() - moment) / 60
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes:.0f} min ago"
    return f"{minutes / 60:.0f} h ago" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days ago"


def table(runs: list[Run]) -> pd.DataFrame:
    """A row a run, for the list, the comparison and the downloads."""
    rows = []
    for run in runs:
        accuracy = accuracy_of(run) or {}
        rows.append(
            {
                "id": run.id,
                "state": run.state,
                "what": name(run),
                "outcome": "" if run.active else _said(run),
                "accuracy": accuracy.get("value"),
                "low": accuracy.get("low"),
                "high": accuracy.get("high"),
                "images": accuracy.get("images"),
                "metric": accuracy.get("metric", "accuracy") if accuracy else None,
                "seconds": run.seconds,
                "took": "" if run.seconds is None else seconds(run.seconds),
                "created": datetime.fromtimestamp(run.created, UTC).isoformat(timespec="seconds"),
                "when": ago(run.created),
                "parent": run.parent or "",
            }
        )
    return pd.DataFrame(rows)
