"""`qexplore study`: measures what the methods reach, over several seeds, and writes it down."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qexplore.cli.numbers import whole
from qexplore.cli.places import require_place
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.recipes.pairs import pairs
from qexplore.report import Report

if TYPE_CHECKING:
    from qexplore.studies.study import Study

MOST = 100


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="post-training, sensitivity or training")
    parser.add_argument(
        "--seeds",
        type=whole("a number of seeds is a whole number, such as 5"),
        default=5,
        metavar="N",
        help="how many seeds, from 0 on (default: 5)",
    )
    parser.add_argument(
        "--task", action="append", metavar="NAME", help="a task in place of the study's own; repeatable"
    )
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="only tables with this word in their name; repeatable"
    )
    parser.add_argument(
        "--row", action="append", metavar="WORD", help="only rows with this word in their name; repeatable"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every training, such as epochs=5"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="store finished trials in this file, one a study; the same command later goes on from them",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="a Markdown file to write")


def work(words: Namespace, watcher: Watcher) -> Document:
    from qexplore.studies import STUDIES
    from qexplore.studies.document import document, markdown
    from qexplore.studies.kept import Kept
    from qexplore.studies.trials import carry_out

    name = STUDIES.canonical(words.name)
    if not 1 <= words.seeds <= MOST:
        raise QexploreError(f"The number of seeds is a whole number from 1 to {MOST}; not {words.seeds}.")
    for path, what in ((words.out, "The study"), (words.keep, "Its trials")):
        if path is not None:
            require_place(path, what)
    study = _study(name, words)
    kept = Kept(words.keep)
    trials = carry_out(study.variants, study.gauges, study.tasks, words.seeds, Report(watcher), study.draw, kept)
    command = _command(name, words)
    page = markdown(study, trials, command, words.seeds)
    if words.out is not None:
        words.out.write_text(page, encoding="utf-8")
    return {**document(study, trials, command, words.seeds), "text": page}


def _study(name: str, words: Namespace) -> Study:
    """The study with the tasks, tables and settings that were asked for; what is wrong is told before any work."""
    from qexplore.studies import STUDIES
    from qexplore.zoo import Task

    given = pairs(words.set, "--set")
    if given and name != "training":
        raise QexploreError(f"The study {name!r} trains nothing: leave --set out.")
    study = STUDIES.get(name)(_plain(given)) if given else STUDIES.get(name)()
    if words.only:
        study = study.only(words.only)
    if words.row:
        study = study.rows(words.row)
    if words.task:
        for task in words.task:
            Task(task)
        study = replace(study, tasks=tuple(dict.fromkeys(words.task)))
    return study


def _plain(given: dict[str, str]) -> dict[str, Any]:
    """Settings of a training, read as a recipe reads them."""
    from qexplore.recipes import Recipe

    recipe = Recipe.from_document({"name": "settings", "steps": ["qat"]})
    return dict(recipe.with_settings({f"qat.{key}": value for key, value in given.items()}).steps[0].settings)


def _command(name: str, words: Namespace) -> str:
    """What was typed, in one order."""
    parts = ["python", "-m", "qexplore", "study", name, "--seeds", str(words.seeds)]
    for task in words.task or ():
        parts += ["--task", task]
    for word in words.only or ():
        parts += ["--only", word]
    for word in words.row or ():
        parts += ["--row", word]
    for setting in words.set:
        parts += ["--set", setting]
    if words.keep is not None:
        parts += ["--keep", str(words.keep)]
    if words.out is not None:
        parts += ["--out", str(words.out)]
    return shlex.join(parts)


def text(document: Document) -> str:
    return str(document["text"])


VERBS.register("study")(Verb("Measure what the methods reach, over several seeds.", arguments, work, text))
