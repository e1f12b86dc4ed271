"""Three answers to a budget: the hull at once, the exact optimum a moment later, the measured accuracy after that."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pandas as pd

from qexplore.allocate import Answer, Budget, allocate
from qexplore.runs.profiles import Profile
from qexplore.ui import bench
from qexplore.ui.absent import how_to_get
from qexplore.ui.bench import DESK, Measured
from qexplore.ui.desk import desk, session
from qexplore.ui.stored import measured_before

_PATIENCE = 0.03  # seconds that a look waits for the exact optimum, which often is there by then


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


@dataclass(frozen=True)
class Question:
    """A budget put to a task. Raises InfeasibleBudget and other bad input when it is looked at."""

    profile: Profile
    table: pd.DataFrame
    budget: Budget
    locked: Mapping[str, int]

    @property
    def key(self) -> tuple[Hashable, ...]:
        return (*self._made, tuple(self.budget.limits().items()), tuple(sorted(self.locked.items())))

    @property
    def _made(self) -> tuple[str, str]:
        """Task and making of the profile: what was found with an older one is none of this one's answers."""
        return (self.profile.task, str(self.profile.header["created"]))

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
            return desk(*DESK).known(name)
        asker = session()
        return desk(*DESK).ask(asker, name, lambda: _measure(self.profile, bits, asker))

    def measure_name(self, bits: Mapping[str, int]) -> Hashable:
        return ("measure", *self._made, self.profile.seed, tuple(bits.items()))

    def _solve(self, *, exact: bool) -> Answer:
        return allocate(self.table, self.budget, exact=exact, locked=dict(self.locked))


def find(question: Question, *, ask: bool = False) -> Found:
    """What is known about a budget now: the hull at once, the rest as far as it has been asked for.

    With `ask` it asks for what is missing, for when the slider rests. Raises InfeasibleBudget and other bad input.
    """
    hull = question.quick()
    solved = question.optimum(ask)
    if not bench.ended(solved):
        return Found(hull, hull, False, stored(question.profile, hull.bits), pending=True)
    assert solved is not None
    trouble = bench.trouble(solved)
    names: tuple[Hashable, ...] = (("exact", *question.key),)
    answer = hull if trouble else solved.result()
    known = stored(question.profile, answer.bits)
    if known is not None or how_to_get(question.profile.task):  # without images nothing can be measured
        return Found(answer, hull, not trouble, known, False, trouble, names)
    asked = question.measurement(answer.bits, ask)
    if not bench.ended(asked):
        return Found(answer, hull, not trouble, None, True, trouble, names)
    assert asked is not None
    failed = bench.trouble(asked)
    measured = None if failed else asked.result()
    names = (*names, question.measure_name(answer.bits))
    return Found(answer, hull, not trouble, measured, False, trouble or failed, names)


def _measure(profile: Profile, bits: Mapping[str, int], asker: str) -> Measured:
    request = {
        "task": profile.task,
        "recipe": profile.recipe,
        "seed": profile.seed,
        "bits": dict(bits),
        "images": profile.images,
    }
    reply = bench.ask(request, asker)
    return Measured(**reply["accuracy"], seconds=float(reply["seconds"]))


def stored(profile: Profile, bits: Mapping[str, int]) -> Measured | None:
    """The profile's own measurement of this very allocation, if it has one."""
    row = measured_before(profile).get(tuple(sorted(bits.items())))
    if row is None:
        return None
    return Measured(row["accuracy"], row["low"], row["high"], int(row["images"]), metric=profile.metric)
