"""`qexplore task`: networks and images of your own as tasks with a name."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qexplore import zoo
from qexplore.cli.lines import table
from qexplore.cli.subject import add_sources
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.zoo import own

ACTIONS = {
    "add": "open a network and its images, try them, and keep them under a name",
    "list": "the tasks that were added, also where no ACTION is named",
    "remove": "forget one, with its weights; images and runs stay",
}
_SHOWN = ("title", "model", "weights", "data", "classes", "segmentation", "seed", "preprocessing")


def arguments(parser: ArgumentParser) -> None:
    summary = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    parser.add_argument("action", nargs="?", default="list", choices=ACTIONS, metavar="ACTION", help=summary)
    parser.add_argument("name", nargs="?", metavar="NAME", help="the task, for every action but list")
    add_sources(parser)
    parser.add_argument("--title", default="", metavar="T", help="how the app calls it (default: its name)")


def work(words: Namespace, watcher: Watcher) -> Document:
    if (words.name is None) != (words.action == "list"):
        wanted = "no NAME" if words.name else "the NAME of the task"
        raise QexploreError(f"task {words.action} takes {wanted}.")
    if words.action in ("list", "remove") and (words.model, words.data, words.weights) != (None, None, None):
        raise QexploreError(f"task {words.action} takes no --model, --data or --weights; task add NAME does.")
    if words.action == "list":
        return _listed(Report(watcher))
    if words.action == "remove":
        own.remove(words.name)
        return {"name": words.name, "state": "removed"}
    if words.model is None or words.data is None:
        raise QexploreError("task add needs both, a network and its images: --model M --data D.")
    from qexplore.network import capturable  # here, because it loads torch

    own.add(
        words.name,
        model=words.model,
        data=words.data,
        weights=words.weights,
        title=words.title,
        local=True,
        report=Report(watcher),
        trial=capturable,
    )
    return _document(words.name)


def text(document: Document) -> str:
    if isinstance(document, list):
        rows = [(row["name"], row["model"], row["data"], len(row["classes"])) for row in document]
        return table(("task", "model", "data", "classes"), rows) if rows else "No tasks of your own; add one: task add."
    if "state" in document:
        return f"{document['name']}: {document['state']}"
    return table(("task", document["name"]), [(name, _told(document[name])) for name in _SHOWN if document[name]])


def _listed(report: Report) -> Document:
    names = own.names()
    for name in own.folders():
        if name not in names:
            report.event("log", text=f"The task {name!r} is damaged; remove it with: task remove {name}")
    return [_document(name) for name in names]


def _document(name: str) -> Document:
    return dict(zoo.entry(name).source or {})


def _told(value: object) -> str:
    if isinstance(value, dict):
        from qexplore.zoo.preprocessing import Preprocessing

        return Preprocessing.from_document(value).text()
    if isinstance(value, list):
        more = f" and {len(value) - 8} more" if len(value) > 8 else ""
        return f"{len(value)}: {', '.join(value[:8])}{more}"
    return str(value)


VERBS.register("task")(Verb("Keep a network and images of your own under a name.", arguments, work, text))
