"""What a verb of the command line is, and where verbs are listed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qexplore.registry import Registry
from qexplore.report import Event

Document = Any  # what json.dumps takes
Watcher = Callable[[Event], None]


@dataclass(frozen=True)
class Verb:
    """One verb: its words, its work, and how a person reads the outcome.

    work: the parsed words and who watches in, a JSON document out (None: nothing to print).
    text: the same document as lines for a person.
    """

    summary: str
    arguments: Callable[[ArgumentParser], None]
    work: Callable[[Namespace, Watcher], Document]
    text: Callable[[Document], str]


VERBS: Registry[Verb] = Registry("verb")
