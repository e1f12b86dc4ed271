"""Words that choose a table of sensitivities, and the table that they mean."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pandas as pd

from qexplore.cli.numbers import widths
from qexplore.cli.seed import add_seed
from qexplore.cli.subject import subject
from qexplore.cli.verbs import Watcher
from qexplore.errors import QexploreError


def arguments(parser: ArgumentParser) -> None:
    said = "how it is foreseen what a site loses, such as fit (default fisher; a wrong name lists all)"
    parser.add_argument("--metric", default="fisher", help=said)
    parser.add_argument("--recipe", default="w8a8", help="preset or YAML file that prepares the network (default w8a8)")
    parser.add_argument("--bits", type=widths, metavar="LIST", help="bit widths, such as 2,4,8 (default 2 to 8)")
    add_seed(parser)


def compute(words: Namespace, watcher: Watcher) -> pd.DataFrame:
    """The table that the words ask for, computed now."""
    from qexplore.recipes import sensitivity  # here, because it loads torch

    menu = {} if words.bits is None else {"bits": words.bits}
    task = subject(words, watcher)
    return sensitivity(task, words.metric, recipe=words.recipe, seed=words.seed, on_event=watcher, **menu)


def read(path: Path) -> pd.DataFrame:
    """A table that `sensitivity --json` printed or a run stored (.parquet); QexploreError where there is none."""
    try:
        found = pd.read_parquet(path) if path.suffix == ".parquet" else pd.DataFrame(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds neither JSON rows nor Parquet"
        raise QexploreError(f"The table {path} cannot be read: {reason}.") from error
    if found.empty:
        raise QexploreError(f"The table {path} holds no rows: give what `sensitivity --json` printed.")
    return found
