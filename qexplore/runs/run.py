"""A run as the store knows it: what was asked, how far it is, how it ended."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, fields
from typing import Any

from qexplore.runs.progress import Progress
from qexplore.zoo.catalogue import added

ACTIVE = ("queued", "running")
FINISHED = ("done", "failed", "cancelled", "lost", "paused")  # no process works on them, nor will one by itself
STATES = ACTIVE + FINISHED


@dataclass(frozen=True)
class Run:
    """One row of the table of runs. Times are seconds since 1970."""

    id: str
    kind: str
    task: str | None
    spec: dict[str, Any]
    hash: str
    engine: str
    parent: str | None
    threads: int
    memory_mb: int | None
    state: str
    created: float
    started: float | None
    finished: float | None
    done: int
    total: int
    message: str
    phase_started: float | None
    phase_done: int
    progressed: float | None
    beat: float | None
    cancel_asked: float | None
    pause_asked: float | None
    pid: int | None
    pid_start: str | None
    error: str | None
    result: dict[str, Any] | None

    @property
    def active(self) -> bool:
        """Whether it waits or works, so that its state may still change."""
        return self.state in ACTIVE

    @property
    def outdated(self) -> bool:
        """Whether the task of this name was added after it: what it found out is about another one."""
        return self.task is not None and self.created < added(self.task)

    @property
    def stop_asked(self) -> float | None:
        """When it was asked first to end, for good or for a pause; None where it may go on."""
        return min((at for at in (self.cancel_asked, self.pause_asked) if at is not None), default=None)

    @property
    def fraction(self) -> float:
        """Share of the present phase that is finished, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    @property
    def seconds(self) -> float | None:
        """Seconds it has worked so far, or did until its end; None before its start."""
        if self.started is None:
            return None
        return (time.time() if self.finished is None else self.finished) - self.started

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end of the present phase at the pace of this phase; None while nothing tells."""
        if self.state != "running" or self.phase_started is None or self.progressed is None:
            return None
        phase = self.phase_started, self.phase_done
        return Progress(self.done, self.total, self.message, *phase, self.progressed).seconds_left

    @property
    def quiet_seconds(self) -> float | None:
        """Seconds since the last sign of life of a running run; None for all others."""
        return None if self.state != "running" or self.beat is None else time.time() - self.beat


@dataclass(frozen=True)
class Event:
    """What a run reported: number `seq` of that run, counted from 1, at `time`."""

    seq: int
    time: float
    event: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.event.get("event", ""))


def run_of(row: sqlite3.Row) -> Run:
    """The run in a row of the table."""
    values = {field.name: row[field.name] for field in fields(Run)}
    values["spec"] = json.loads(values["spec"])
    values["result"] = json.loads(values["result"]) if values["result"] is not None else None
    return Run(**values)
