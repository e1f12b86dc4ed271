"""`qexplore runs`: what was done in the background, and what becomes of it."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qexplore.cli.lines import accuracy, number, table
from qexplore.cli.numbers import whole
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.runs import STATES, Run, Store, trained
from qexplore.runs.errors import RunEnded
from qexplore.runs.recordings import record

ACTIONS = {
    "list": "the last runs, also where no ACTION is named",
    "show": "one run in full",
    "cancel": "stop a run that waits or works",
    "pause": "stop it, to be resumed",
    "resume": "continue a run that ended early, as a new run; training goes on from its last checkpoint",
    "repeat": "do the same again from the start, as a new one",
    "record": "keep what a training has told in the folder --out, as the Training page shows it",
    "delete": "remove a run and its files",
}
SHOWN = (
    "state",
    "kind",
    "parent",
    "carried_on_by",
    "done",
    "total",
    "message",
    "seconds",
    "seconds_left",
    "training",
    "error",
    "folder",
)
HEADS = ("id", "state", "kind", "task", "recipe", "progress", "made")


def arguments(parser: ArgumentParser) -> None:
    summary = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    parser.add_argument("action", nargs="?", default="list", choices=ACTIONS, metavar="ACTION", help=summary)
    parser.add_argument("id", nargs="?", metavar="ID", help="the run, for every action but list")
    parser.add_argument("--out", metavar="FOLDER", help="record into this folder")
    parser.add_argument(
        "--limit",
        type=whole("a number of runs is a whole number, such as 20"),
        default=20,
        metavar="N",
        help="list at most so many (default 20)",
    )
    parser.add_argument("--state", metavar="STATE", help=f"list only runs in this state: {', '.join(STATES)}")


def work(words: Namespace, watcher: Watcher) -> Document:
    if (words.id is None) != (words.action == "list"):
        wanted = "no ID" if words.id else "the ID of a run, which runs list shows"
        raise QexploreError(f"runs {words.action} takes {wanted}.")
    if words.limit < 1:
        raise QexploreError(f"runs list --limit takes a whole number from 1 on; not {words.limit}.")
    store = Store()
    if words.action == "list":
        return [_document(store, run) for run in store.runs(limit=words.limit, state=words.state)]
    if words.action == "record":
        return _recorded(store, words)
    if words.action == "delete":
        store.delete(words.id)
        return {"id": words.id, "state": "deleted"}
    told = _acted(store, words.action, words.id)
    training, after = trained(store, told), store.successor(told)
    return {
        **_document(store, store.run(told)),
        "training": None if training is None else training.text,
        "carried_on_by": None if after is None else after.id,
    }


def _recorded(store: Store, words: Namespace) -> dict[str, Any]:
    if not words.out:
        raise QexploreError("runs record takes a folder: --out FOLDER.")
    kept = record(store, words.id, Path(words.out))
    return {"id": words.id, "state": "recorded", "folder": kept.folder}


def _acted(store: Store, action: str, run_id: str) -> str:
    """The id of the run to show after the action."""
    if action == "cancel":
        store.ask_cancel(_unended(store, run_id, "cancelled"))
    if action == "pause":
        store.ask_pause(_unended(store, run_id, "paused"))
    if action == "resume":
        return store.resume(run_id)
    return store.repeat(run_id) if action == "repeat" else run_id


def _unended(store: Store, run_id: str, verb: str) -> str:
    """The id of a run that waits or works; RunEnded for any other."""
    run = store.run(run_id)
    if not run.active:
        raise RunEnded(run_id, run.state, verb)
    return run_id


def text(document: Document) -> str:
    return _list(document) if isinstance(document, list) else _one(document)


def _document(store: Store, run: Run) -> dict[str, Any]:
    return {
        **vars(run),
        "seconds": run.seconds,
        "seconds_left": run.seconds_left,
        "folder": store.folder(run.id),
    }


def _list(runs: list[Mapping[str, Any]]) -> str:
    if not runs:
        return "No runs."
    return table(HEADS, [_row(run) for run in runs])


def _row(run: Mapping[str, Any]) -> tuple[object, ...]:
    known = (run["id"], run["state"], run["kind"], run["task"])
    return (*known, _recipe(run["spec"]), _progress(run), _ago(run["created"]))


def _one(run: Mapping[str, Any]) -> str:
    spec, result = run.get("spec", {}), run.get("result") or {}
    facts = {name: run[name] for name in SHOWN if run.get(name) not in (None, "")}
    facts |= {f"asked: {name}": _short(value) for name, value in spec.items() if name != "kind"}
    facts |= {f"found: {name}": _short(value) for name, value in result.items() if name not in spec}
    return table(("run", str(run["id"])), [(name, number(value)) for name, value in facts.items()])


def _short(value: object) -> str:
    if not isinstance(value, Mapping | list):
        return number(value)
    if isinstance(value, Mapping) and value.keys() >= {"value", "low", "high", "images"}:
        return accuracy(value)
    return "(--json shows it)"


def _recipe(spec: Mapping[str, Any]) -> str:
    recipe = spec.get("recipe")
    return str(recipe.get("name", "")) if isinstance(recipe, Mapping) else str(recipe or "")


def _progress(run: Mapping[str, Any]) -> str:
    return f"{run['done']} of {run['total']}" if run["total"] else ""


def _ago(moment: float) -> str:
    minutes = (time.time() - moment) / 60
    if minutes < 60:
        return f"{minutes:.0f} min ago"
    return f"{minutes / 60:.0f} h ago" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days ago"


VERBS.register("runs")(
    Verb("List, show, cancel, pause, resume, repeat, record or delete background runs.", arguments, work, text)
)
