"""Carries what a job reports into the store, at a bounded rate, and carries the wish to stop back."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from qexplore.runs.errors import Cancelled
from qexplore.runs.progress import Progress, after
from qexplore.runs.records import Records

SECONDS = 0.2  # between two writings
LOOK_SECONDS = 0.1  # between two looks at the wish to stop
NEWEST = ("progress", "training")  # events of which only the newest in a writing matters

Told = tuple[float, dict[str, Any]]  # (time, event)


class Reporter:
    """The callback of a run's Report. Raises Cancelled when the run shall stop.

    Events are written at once where the writing before is SECONDS ago, or together when it is, in the order in which
    they were reported: all of them, of each kind in NEWEST the newest. A worker that is killed loses what waits then.
    """

    def __init__(self, records: Records, run_id: str) -> None:
        self._records, self._id = records, run_id
        self._phase: Progress | None = None
        self._waiting: list[Told] = []
        self._written = self._looked = float("-inf")
        self._go_on = True
        self._later: threading.Timer | None = None
        self._lock = threading.RLock()  # of all the above, for what waits is written when the job is silent, too

    def __call__(self, event: dict[str, Any]) -> None:
        with self._lock:
            now, name = time.time(), event.get("event")
            if name == "progress":
                self._phase = after(self._phase, event, now)
            if name in NEWEST:
                self._waiting = [told for told in self._waiting if told[1].get("event") != name]
            self._waiting.append((now, event))
            if time.monotonic() - self._written >= SECONDS:
                self.flush()
            else:
                self._write_later()
                self._look()
            if not self._go_on:
                raise Cancelled

    def flush(self) -> None:
        """Writes all that still waits; raises no Cancelled."""
        with self._lock:
            if self._waiting:
                self._go_on = self._records.tell(self._id, self._waiting, self._phase)
                self._waiting = []
                self._written = self._looked = time.monotonic()

    def _write_later(self) -> None:
        if self._later is None:
            self._later = threading.Timer(self._written + SECONDS - time.monotonic(), self._write)
            self._later.daemon = True
            self._later.start()

    def _write(self) -> None:
        """The writing of a silence. What fails here is left to the next event, whose job it can end."""
        with self._lock, contextlib.suppress(Exception):
            self._later = None
            if time.monotonic() - self._written >= SECONDS:
                self.flush()
            elif self._waiting:
                self._write_later()

    def _look(self) -> None:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._go_on = self._records.wanted(self._id)
