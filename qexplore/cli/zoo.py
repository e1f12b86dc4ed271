"""`qexplore zoo`: which tasks there are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qexplore import zoo
from qexplore.cli.lines import table
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher

FIELDS = ("name", "title", "description", "teaches", "made_on_purpose", "own")


def arguments(parser: ArgumentParser) -> None:
    """None of its own."""


def work(words: Namespace, watcher: Watcher) -> Document:
    return [{field: getattr(zoo.entry(name), field) for field in FIELDS} for name in zoo.names()]


def text(document: Document) -> str:
    rows = [(row["name"], row["title"], "your own" if row["own"] else "") for row in document]
    return table(("task", "title", ""), rows)


VERBS.register("zoo")(Verb("List the tasks: networks with their images.", arguments, work, text))
