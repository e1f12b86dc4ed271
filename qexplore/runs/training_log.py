"""What a run has told of its training, gathered event by event, by the step of the recipe that told it."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

TOLD = ("beginning", "training", "epoch", "allocation", "weights", "activations", "oscillation", "sparsity")
"""Events that a training step sends, most of them again and again; each has "at", the optimizer steps behind it."""
READ = ("step", "training-started", "training-ended", *TOLD)
"""Events that a log takes in."""


@dataclass
class StageLog:
    """Events of one training step: how it began, what it told (name → events in order), whether it has ended."""

    started: dict[str, Any]
    told: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TOLD})
    ended: bool = False

    def now(self) -> StageLog:
        """As it is at this moment: it does not grow any more."""
        return replace(self, told={name: list(events) for name, events in self.told.items()})

    def after(self, earlier: StageLog) -> StageLog:
        """This log with what `earlier` had told up to the step at which this one goes on.

        A resumed step tells again some of what was told before; what it tells so is taken from it alone.
        """
        begun = int(self.started.get("at", 0))
        if not begun:
            return self
        told = {}
        for name in TOLD:
            again = {int(one["at"]) for one in self.told[name]}
            before = [one for one in earlier.told[name] if int(one["at"]) <= begun and int(one["at"]) not in again]
            told[name] = sorted([*before, *self.told[name]], key=lambda one: int(one["at"]))
        return StageLog({**self.started, "at": earlier.started.get("at", 0)}, told, self.ended)


@dataclass
class Log:
    """Grows with the events of one run.

    last: number of the newest event. steps: the "step" events in order, "fp32" first. stages: by the index of the
    recipe's step.
    """

    last: int = 0
    steps: list[dict[str, Any]] = field(default_factory=list)
    stages: dict[int, StageLog] = field(default_factory=dict)
    _now: int | None = None

    def add(self, number: int, event: dict[str, Any]) -> None:
        """Takes event number `number` in; events that tell nothing of training are passed over."""
        self.last, name = number, event.get("event")
        if name == "training-started":
            self._now = int(event["number"])
            self.stages[self._now] = StageLog(dict(event))
        elif name == "step":
            self.steps.append(dict(event))
        elif self._now is None:
            return
        elif name == "training-ended":
            self.stages[self._now].ended = True
        elif name in TOLD:
            self.stages[self._now].told[str(name)].append(event)

    def extend(self, events: Iterable[tuple[int, dict[str, Any]]]) -> Log:
        for number, event in events:
            self.add(number, event)
        return self

    def after(self, earlier: Log) -> Log:
        """The log of a run that carries another one on, with what that one had told before."""
        joined = copy(self)
        joined.steps = self.steps + earlier.steps[len(self.steps) :]
        joined.stages = dict(sorted({**earlier.stages, **self.stages}.items()))
        for number, stage in self.stages.items():
            if number in earlier.stages:
                joined.stages[number] = stage.after(earlier.stages[number])
        return joined
