"""`qexplore debug`: says why a quantized network is worse than its model, and what repairs it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from qexplore.cli import run as words_of_run
from qexplore.cli.lines import accuracy, table
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError


def arguments(parser: ArgumentParser) -> None:
    words_of_run.arguments(parser)
    parser.add_argument("--report", type=Path, metavar="FILE.md", help="write the report there, as Markdown")


def work(words: Namespace, watcher: Watcher) -> Document:
    from qexplore.debugging import debug  # here, because it loads torch

    recipe = words_of_run.recipe(words)
    if words.report is not None and not words.report.parent.is_dir():
        raise QexploreError(f"The report cannot be written to {str(words.report)!r}: its folder does not exist.")
    found = debug(words.task, recipe, words.seed, watcher)
    if words.report is not None:
        try:
            words.report.write_text(found.to_markdown(), encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise QexploreError(f"The report cannot be written to {str(words.report)!r}: {reason}.") from error
    return found.to_document()


def text(document: Document) -> str:
    from qexplore.debugging.report import fix_rows, unexplained, verdict

    lines = [
        f"FP32      {accuracy(document['fp32'])}",
        f"quantized {accuracy(document['accuracy'])}",
        "",
        verdict(document),
        "",
        table(("network", "accuracy", "divergence"), (_check(row) for row in document["checks"])),
        *_findings(document),
    ]
    if document["fixes"]:
        lines += ["", table(("fix", "accuracy", "interval", "divergence"), fix_rows(document))]
    if document["unexplained"]:
        lines += ["", f"Not explained: {unexplained(document)}"]
    return "\n".join(lines)


def _findings(document: Document) -> list[str]:
    from qexplore.debugging.report import WORDS, grouped, place

    lines = []
    for cause, findings in grouped(document):
        lines += ["", f"{cause}: {WORDS[cause]}"]
        lines += [f"  {place(one)} ({one['divergence']:.2g} nats)\n    {one['text']}" for one in findings]
    return lines


def _check(row: Document) -> tuple[str, str, str]:
    return row["name"], f"{100 * row['accuracy']:.1f} %", f"{row['divergence']:.2g}"


VERBS.register("debug")(Verb("Tell why a recipe loses accuracy, where, and what repairs it.", arguments, work, text))
