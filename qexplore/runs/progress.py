"""How far a piece of work is, and how long its present phase goes on at the pace that it has had so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from qexplore.report import Event


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of the phase `text`, which began with `phase_done` at `phase_started`; seen at `time`.

    Times are seconds since 1970.
    """

    done: int
    total: int
    text: str
    phase_started: float
    phase_done: int
    time: float

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end of the phase at its pace so far; None while nothing tells."""
        steps = self.done - self.phase_done
        if steps <= 0:
            return None
        at_last_progress = (self.time - self.phase_started) / steps * (self.total - self.done)
        return max(at_last_progress - (time.time() - self.time), 0.0)


def after(old: Progress | None, event: Event, now: float) -> Progress:
    """The progress after an event "progress" at `now`; with another text or total, or less done, a phase begins."""
    done, total, text = int(event["done"]), int(event["total"]), str(event["text"])
    text = text.encode("utf-8", errors="replace").decode("utf-8")  # a lone surrogate is no text for SQLite
    if old is None or (text, total) != (old.text, old.total) or done < old.done:
        return Progress(done, total, text, phase_started=now, phase_done=done, time=now)
    return replace(old, done=done, time=now)
