"""`qexplore debug`: says why a quantized network is worse than its model, and what repairs it."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, Namespace
from pathlib import Path

from qexplore.cli import run as words_of_run
from qexplore.cli.lines import accuracy, table
from qexplore.cli.places import require_place
from qexplore.cli.subject import subject
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.metric import named

WIDTH = 100  # columns of text


def arguments(parser: ArgumentParser) -> None:
    words_of_run.add_recipe(parser)
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report there, as Markdown")


def work(words: Namespace, watcher: Watcher) -> Document:
    from qexplore.debugging import debug  # here, because it loads torch

    recipe = words_of_run.recipe(words)
    if words.report is not None:
        require_place(words.report, "The report")
    found = debug(subject(words, watcher), recipe, words.seed, watcher)
    if words.report is not None:
        words.report.write_text(found.to_markdown(), encoding="utf-8")
    return found.to_document()


def text(document: Document) -> str:
    from qexplore.debugging.report import fix_rows, unexplained, verdict

    measure = named(document["accuracy"].get("metric"))
    lines = [
        f"FP32      {accuracy(document['fp32'])}",
        f"quantized {accuracy(document['accuracy'])}",
        "",
        _wrapped(verdict(document)),
        "",
        table(("network", measure, "divergence, nats"), (_check(row) for row in document["checks"])),
        *_findings(document),
    ]
    if document["fixes"]:
        lines += ["", table(("fix", measure, "interval", "divergence, nats"), fix_rows(document))]
    if document["unexplained"]:
        lines += ["", _wrapped(f"Not explained: {unexplained(document)}")]
    return "\n".join(lines)


def _findings(document: Document) -> list[str]:
    from qexplore.debugging.report import WORDS, grouped, place
    from qexplore.debugging.words import nats

    lines = []
    for cause, findings in grouped(document):
        lines += ["", f"{cause}: {WORDS[cause]}"]
        for one in findings:
            lines += [f"  {place(one)} ({nats(one['divergence'])} nats)", _wrapped(one["text"], "    ")]
    return lines


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _check(row: Document) -> tuple[str, str, str]:
    from qexplore.debugging.words import nats

    return row["name"], f"{100 * row['accuracy']:.1f} %", nats(row["divergence"])


VERBS.register("debug")(Verb("Tell why a recipe loses accuracy, where, and what repairs it.", arguments, work, text))
