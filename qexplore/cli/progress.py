"""What happens on the way, for a person who watches stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

EVERY_ON_TERMINAL, EVERY_ELSEWHERE = 0.1, 2.0  # seconds


class Pace:
    """How long a phase of work goes on at the pace that it has had so far.

    A phase counts up to one total; its text may tell what it is at just now, as a study's does with each trial.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._total: int | None = None
        self._started, self._first, self._done = 0.0, 0, 0

    def left(self, done: int, total: int) -> str:
        """ ", 12 s left"; nothing before the second event of a phase or in its last second."""
        if total != self._total or done < self._done:
            self._total, self._started, self._first = total, self._clock(), done
        self._done = done
        if done <= self._first:
            return ""
        seconds = (self._clock() - self._started) / (done - self._first) * (total - done)
        return f", {_time(seconds)} left" if seconds >= 1 else ""


class Progress:
    """Shows events: a line for each step; progress now and then, on a terminal in one line that is written over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._over = stream.isatty()
        self._every = EVERY_ON_TERMINAL if self._over else EVERY_ELSEWHERE
        self._shown = time.monotonic()
        self._open = False
        self._pace = Pace(time.monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def show(self, event: dict[str, Any]) -> None:
        """Takes one event of a report."""
        if event.get("event") == "progress":
            left = self._pace.left(event["done"], event["total"])
            self._progress(f"{event['text']}: {event['done']} of {event['total']}{left}")
        elif event.get("event") in ("step", "log", "skipped"):
            self._clear()
            self._write(_line(event) + "\n")

    def _progress(self, line: str) -> None:
        if time.monotonic() - self._shown < self._every:
            return
        self._shown = time.monotonic()
        self._open = self._over
        self._write(f"\r\x1b[K{line}" if self._over else f"{line}\n")

    def _clear(self) -> None:
        if self._open:
            self._write("\r\x1b[K")
            self._open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(event: dict[str, Any]) -> str:
    words = [str(event[key]) for key in ("name", "text", "message") if event.get(key)]
    numbers = [f"{key} {value:.4g}" for key, value in event.items() if isinstance(value, float)]
    return ", ".join([*words, *numbers])
