"""Three answers to a budget: the hull at once, the exact optimum a moment later, the measured accuracy after that."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from qexplore.allocate import Answer, Budget, allocate
from qexplore.errors import QexploreError
from qexplore.runs import Superseded, Warm
from qexplore.runs.profiles import Profile
from qexplore.ui.desk import desk, session
from qexplore.ui.stored import measured_before

_HEAD_START = 4.0  # seconds: its imports would take the processor from the first page
_PATIENCE = 0.06  # seconds that a redraw waits for the exact optimum before it shows the hull's answer


@dataclass(frozen=True)
class Measured:
    """An accuracy with its 95 % interval; seconds: None where it comes from the stored profile."""

    value: float
    low: float
    high: float
    images: int
    seconds: float | None = None


@dataclass(frozen=True)
class Found:
    """What is known by now.

    answer: the best allocation so far; hull: the quick one; exact: whether the optimum has been worked out.
    waiting: what is still being worked out. trouble: one sentence where something failed. questions: what to
    forget in order to try again.
    """

    answer: Answer
    hull: Answer
    exact: bool
    measured: Measured | None
    waiting: Future[Any] | None = None
    trouble: str = ""
    questions: tuple[Hashable, ...] = ()

    @property
    def pending(self) -> bool:
        return self.waiting is not None


@st.cache_resource
def warm() -> Warm:
    """The warm process of this server; it starts with the first question, or once the first page has been drawn."""
    bench = Warm()
    soon = threading.Timer(_HEAD_START, bench.start)
    soon.daemon = True
    soon.start()
    return bench


def find(profile: Profile, table: pd.DataFrame, budget: Budget, locked: Mapping[str, int]) -> Found:
    """All that is known about a budget now; asks for what is missing. Raises InfeasibleBudget and other bad input."""
    locked = dict(locked)
    key = (profile.task, tuple(budget.limits().items()), tuple(sorted(locked.items())))
    quick = desk("hull").ask(
        "", ("hull", *key), lambda: allocate(table, budget, exact=False, locked=locked), patience=9
    )
    hull = quick.result()
    question = ("exact", *key)
    solved = desk("exact").ask(session(), question, lambda: allocate(table, budget, locked=locked), patience=_PATIENCE)
    if not solved.done() or solved.cancelled():
        return Found(hull, hull, False, stored(profile, hull.bits), solved)
    trouble = _trouble(solved)
    answer = hull if trouble else solved.result()
    return _with_measure(profile, answer, hull, trouble, question)


def _with_measure(profile: Profile, answer: Answer, hull: Answer, trouble: str, solved: Hashable) -> Found:
    known = stored(profile, answer.bits)
    if known is not None:
        return Found(answer, hull, not trouble, known, None, trouble, (solved,))
    question = ("measure", profile.task, profile.seed, tuple(answer.bits.items()))
    asked = _measure(profile, answer.bits, question)
    if not asked.done() or asked.cancelled():
        return Found(answer, hull, not trouble, None, asked, trouble, (solved,))
    failed = _trouble(asked)
    measured = None if asked.exception() is not None else asked.result()
    return Found(answer, hull, not trouble, measured, None, trouble or failed, (solved, question))


def _measure(profile: Profile, bits: Mapping[str, int], question: Hashable) -> Future[Any]:
    request = {
        "task": profile.task,
        "recipe": profile.recipe,
        "seed": profile.seed,
        "bits": dict(bits),
        "images": None,
    }
    bench, asker = warm(), session()

    def work() -> Measured:
        reply = bench.ask(request, asker=asker)
        return Measured(**reply["accuracy"], seconds=float(reply["seconds"]))

    return desk("measure", 4).ask(asker, question, work)


def _trouble(future: Future[Any]) -> str:
    """One sentence for an answer that failed; a question that a newer one replaced is no trouble."""
    error = future.exception()
    if error is None or isinstance(error, Superseded):
        return ""
    return str(error) if isinstance(error, (QexploreError, RuntimeError)) else f"{type(error).__name__}: {error}"


def stored(profile: Profile, bits: Mapping[str, int]) -> Measured | None:
    """The profile's own measurement of this very allocation, if it has one."""
    row = measured_before(profile, profile.task).get(tuple(sorted(bits.items())))
    return None if row is None else Measured(row["accuracy"], row["low"], row["high"], int(row["images"]))
