"""What happens on the way, for a person who watches stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self, TextIO


class Progress:
    """Shows events: on a terminal one line that is written over, elsewhere a line for each step and each tenth."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._over = stream.isatty()
        self._shown = 0.0
        self._tenth: tuple[str, int] | None = None
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def show(self, event: dict[str, Any]) -> None:
        """Takes one event of a report."""
        if event.get("event") == "progress":
            self._progress(int(event["done"]), int(event["total"]), str(event["text"]))
        elif event.get("event") in ("step", "log"):
            self._clear()
            self._stream.write(_line(event) + "\n")
            self._stream.flush()

    def _progress(self, done: int, total: int, text: str) -> None:
        if not self._over:
            tenth = (text, 10 * done // max(total, 1))
            if tenth != self._tenth and done > 0:
                self._stream.write(f"{text}: {done} of {total}\n")
            self._tenth = tenth
        elif done == total or time.monotonic() - self._shown > 0.1:
            self._stream.write(f"\r\x1b[K{text}: {done} of {total}")
            self._shown = time.monotonic()
            self._open = True
        self._stream.flush()

    def _clear(self) -> None:
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False


def _line(event: dict[str, Any]) -> str:
    words = [str(event[key]) for key in ("name", "text", "message") if event.get(key)]
    rest = {key: value for key, value in event.items() if key not in ("event", "name", "text", "message")}
    numbers = [f"{key} {value:.4g}" for key, value in rest.items() if isinstance(value, float)]
    return ", ".join([*words, *numbers])
