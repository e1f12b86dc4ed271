"""`qexplore sensitivity`: what every site is expected to lose at every bit width."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qexplore.cli import scores
from qexplore.cli.lines import table
from qexplore.cli.subject import add_subject
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher


def arguments(parser: ArgumentParser) -> None:
    add_subject(parser)
    scores.arguments(parser)


def work(words: Namespace, watcher: Watcher) -> Document:
    return scores.compute(words, watcher)


def text(document: Document) -> str:
    widths = sorted({row["bits"] for row in document})
    losses: dict[str, dict[int, object]] = {}
    for row in document:
        losses.setdefault(row["site"], {})[row["bits"]] = row["loss"]
    rows = [(site, *(of.get(width) for width in widths)) for site, of in losses.items()]
    return f"{table(('site', *(f'{width} bits' for width in widths)), rows)}\n\n{_unit(document[0]['metric'])}"


def _unit(metric: str) -> str:
    from qexplore.figures.metrics import scale_of  # here, because it loads what draws

    return f"{metric}: {scale_of(metric).title}"


VERBS.register("sensitivity")(Verb("Score every site at every bit width.", arguments, work, text))
