"""Carries what a job reports into the store, at a bounded rate, and carries the wish to stop back."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from qexplore.runs.errors import Cancelled
from qexplore.runs.records import Progress, Records

PROGRESS_SECONDS = 0.2  # between two writings of progress in one phase, and between two of one live event
LOOK_SECONDS = 0.1  # between two looks at the wish to stop
LIVE = ("training",)  # events of which only the newest matters, however many come

Told = tuple[float, dict[str, Any]]  # (time, event)


class Reporter:
    """The callback of a run's Report. Raises Cancelled when the run shall stop.

    Whatever is neither progress nor LIVE is written at once; so are the first and the last progress of a phase (a text
    and a total). Of live events the newest is written at most every PROGRESS_SECONDS, so that it may come after others
    that were reported later; its time tells.
    """

    def __init__(self, records: Records, run_id: str) -> None:
        self._records, self._id = records, run_id
        self._phase: Progress | None = None
        self._waiting: Told | None = None
        self._live: dict[str, Told] = {}
        self._live_written: dict[str, float] = {}
        self._written = self._looked = float("-inf")

    def __call__(self, event: dict[str, Any]) -> None:
        now, name = time.time(), event.get("event")
        if name in LIVE:
            self._live[name] = (now, event)
            if self._due():
                self._write()
            else:
                self._look()
        elif name != "progress":
            self._write((now, event))
        elif self._advance(event, now) or time.monotonic() - self._written >= PROGRESS_SECONDS:
            self._waiting = (now, event)
            self._write()
        else:
            self._waiting = (now, event)
            self._look()

    def flush(self) -> None:
        """Writes all that still waits, without a look at the wish to stop."""
        waiting = [*self._live.values(), *([] if self._waiting is None else [self._waiting])]
        if waiting:
            self._records.tell(self._id, sorted(waiting, key=lambda told: told[0]), self._phase)
        self._waiting, self._live = None, {}

    def _advance(self, event: dict[str, Any], now: float) -> bool:
        """Takes the progress in; True for the first and the last of a phase."""
        done, total, text = int(event["done"]), int(event["total"]), str(event["text"])
        text = text.encode("utf-8", errors="replace").decode("utf-8")  # a lone surrogate is no text for SQLite
        old = self._phase
        if old is None or (text, total) != (old.text, old.total) or done < old.done:
            self._end_phase()
            self._phase = Progress(done, total, text, phase_started=now, phase_done=done, time=now)
            return True
        self._phase = replace(old, done=done, time=now)
        return done >= total > old.done

    def _end_phase(self) -> None:
        """Writes the last progress of the phase that ends here."""
        if self._waiting is not None:
            self._records.tell(self._id, [self._waiting], self._phase)
            self._waiting = None

    def _due(self) -> list[str]:
        """The live events that wait and were not written for long enough."""
        now = time.monotonic()
        return [n for n in self._live if now - self._live_written.get(n, float("-inf")) >= PROGRESS_SECONDS]

    def _write(self, *events: Told) -> None:
        due = self._due()
        waiting = [self._live[name] for name in due] + ([] if self._waiting is None else [self._waiting])
        go_on = self._records.tell(self._id, [*sorted(waiting, key=lambda told: told[0]), *events], self._phase)
        self._waiting = None
        self._written = self._looked = time.monotonic()
        for name in due:
            del self._live[name]
            self._live_written[name] = self._written
        if not go_on:
            raise Cancelled

    def _look(self) -> None:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            if not self._records.wanted(self._id):
                raise Cancelled
