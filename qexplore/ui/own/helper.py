"""Questions about networks of one's own, put to a process that lives for one answer: the app itself needs no torch."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qexplore.places import home
from qexplore.runs import Warm
from qexplore.ui.desk import desk

PATIENCE = 3600.0  # seconds: a folder of a million pictures on a slow disk
Catalogue = dict[str, dict[str, list[str]]]


def ask(request: dict[str, Any]) -> dict[str, Any]:
    """The answer of `qexplore.runs.own_tasks`; waits for it, so only a desk's thread asks. Errors as of `Warm.ask`."""
    with Warm(module="qexplore.runs.own_tasks", patience=PATIENCE) as helper:
        return helper.ask(request, timeout=PATIENCE)


def catalogue() -> Catalogue | None:
    """Models of torchvision → weights → [preprocessing in a line, file]; None while the list is still being made.

    It is kept in the home for the installed torchvision. Errors as of `Warm.ask`.
    """
    asked = desk("catalogue").ask("catalogue", "catalogue", _catalogue, patience=0.2)
    return asked.result() if asked.done() else None


def _catalogue() -> Catalogue:
    kept = home() / "cache" / f"torchvision-{_installed()}.json"
    try:
        known: Catalogue = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = ask({"ask": "catalogue"})
        _keep(kept, json.dumps(known))
    return known


def _installed() -> str:
    try:
        return version("torchvision")
    except PackageNotFoundError:
        return "none"


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
