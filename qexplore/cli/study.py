"""`qexplore study`: measures what the methods reach, over several seeds, and writes it down."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from qexplore.cli.places import require_place
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.report import Report

MOST = 100


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="post-training")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many seeds, from 0 on (default: 5)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a Markdown file to write")


def work(words: Namespace, watcher: Watcher) -> Document:
    from qexplore.studies import STUDIES
    from qexplore.studies.document import document, markdown
    from qexplore.studies.trials import carry_out

    name = STUDIES.canonical(words.name)
    if not 1 <= words.seeds <= MOST:
        raise QexploreError(f"The number of seeds is a whole number from 1 to {MOST}; not {words.seeds}.")
    if words.out is not None:
        require_place(words.out, "The study")
    study = STUDIES.get(name)()
    trials = carry_out(study.variants, study.gauges, study.tasks, words.seeds, Report(watcher))
    command = f"python -m qexplore study {name} --seeds {words.seeds}"
    if words.out is not None:
        command += f" --out {words.out}"
    page = markdown(study, trials, command, words.seeds)
    if words.out is not None:
        words.out.write_text(page, encoding="utf-8")
    return {**document(study, trials, command, words.seeds), "text": page}


def text(document: Document) -> str:
    return str(document["text"])


VERBS.register("study")(Verb("Measure what the methods reach, over several seeds.", arguments, work, text))
