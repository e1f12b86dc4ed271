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
_PATIENCE = 0.03  # seconds that a look waits for the exact optimum, which often is there by then


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
    pending: something is still to be worked out. trouble: one sentence where something failed. questions: what to
    forget in order to try again.
    """

    answer: Answer
    hull: Answer
    exact: bool
    measured: Measured | None
    pending: bool = False
    trouble: str = ""
    questions: tuple[Hashable, ...] = ()


@st.cache_resource
def warm() -> Warm:
    """The warm process of this server; it starts with the first question, or once the first page has been drawn."""
    bench = Warm()
    soon = threading.Timer(_HEAD_START, bench.start)
    soon.daemon = True
    soon.start()
    return bench


@dataclass(frozen=True)
class Question:
    """A budget put to a task. Raises InfeasibleBudget and other bad input when it is looked at."""

    profile: Profile
    table: pd.DataFrame
    budget: Budget
    locked: Mapping[str, int]

    @property
    def key(self) -> tuple[Hashable, ...]:
        return (self.profile.task, tuple(self.budget.limits().items()), tuple(sorted(self.locked.items())))

    def quick(self) -> Answer:
        """The hull's answer, in milliseconds."""
        asked = desk("hull").ask(session(), ("hull", *self.key), lambda: self._solve(exact=False), patience=9)
        answer: Answer = asked.result()
        return answer

    def optimum(self, ask: bool) -> Future[Any] | None:
        """The exact answer, as far as it is; asked for only with `ask`."""
        name = ("exact", *self.key)
        if not ask:
            return desk("exact").known(name)
        return desk("exact").ask(session(), name, lambda: self._solve(exact=True), patience=_PATIENCE)

    def measurement(self, bits: Mapping[str, int], ask: bool) -> Future[Any] | None:
        """The measured accuracy of an allocation, as far as it is; asked for only with `ask`."""
        name = self.measure_name(bits)
        if not ask:
            return desk("measure", 4).known(name)
        asker = session()
        return desk("measure", 4).ask(asker, name, lambda: _measure(self.profile, bits, asker))

    def measure_name(self, bits: Mapping[str, int]) -> Hashable:
        return ("measure", self.profile.task, self.profile.seed, tuple(bits.items()))

    def _solve(self, *, exact: bool) -> Answer:
        return allocate(self.table, self.budget, exact=exact, locked=dict(self.locked))


def find(question: Question, *, ask: bool = False) -> Found:
    """What is known about a budget now: the hull at once, the rest as far as it has been asked for.

    With `ask` it asks for what is missing, for when the slider rests. Raises InfeasibleBudget and other bad input.
    """
    hull = question.quick()
    solved = question.optimum(ask)
    if not _ended(solved):
        return Found(hull, hull, False, stored(question.profile, hull.bits), pending=True)
    assert solved is not None
    trouble = _trouble(solved)
    names: tuple[Hashable, ...] = (("exact", *question.key),)
    answer = hull if trouble else solved.result()
    known = stored(question.profile, answer.bits)
    if known is not None:
        return Found(answer, hull, not trouble, known, False, trouble, names)
    asked = question.measurement(answer.bits, ask)
    if not _ended(asked):
        return Found(answer, hull, not trouble, None, True, trouble, names)
    assert asked is not None
    failed = _trouble(asked)
    measured = None if failed else asked.result()
    names = (*names, question.measure_name(answer.bits))
    return Found(answer, hull, not trouble, measured, False, trouble or failed, names)


def _measure(profile: Profile, bits: Mapping[str, int], asker: str) -> Measured:
    request = {
        "task": profile.task,
        "recipe": profile.recipe,
        "seed": profile.seed,
        "bits": dict(bits),
        "images": None,
    }
    reply = warm().ask(request, asker=asker)
    return Measured(**reply["accuracy"], seconds=float(reply["seconds"]))


def _ended(future: Future[Any] | None) -> bool:
    """Whether an answer is there, be it a failure; one that a newer question replaced is none."""
    if future is None or not future.done() or future.cancelled():
        return False
    return not isinstance(future.exception(), Superseded)


def _trouble(future: Future[Any]) -> str:
    """One sentence for an answer that failed, else nothing."""
    error = future.exception()
    if error is None:
        return ""
    return str(error) if isinstance(error, (QexploreError, RuntimeError)) else f"{type(error).__name__}: {error}"


def stored(profile: Profile, bits: Mapping[str, int]) -> Measured | None:
    """The profile's own measurement of this very allocation, if it has one."""
    row = measured_before(profile).get(tuple(sorted(bits.items())))
    return None if row is None else Measured(row["accuracy"], row["low"], row["high"], int(row["images"]))
