"""What a piece of work tells those who watch it, without knowing who they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Event = dict[str, Any]


class Report:
    """Sends events, plain JSON dictionaries with the key "event", to a callback.

    The callback may raise: that is how a run is cancelled.
    """

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._send = on_event

    def event(self, event: str, /, **values: Any) -> None:
        if self._send is not None:
            self._send({"event": event, **values})

    def forward(self, event: Event) -> None:
        """Sends on an event that another report has made."""
        if self._send is not None:
            self._send(event)

    def progress(self, done: int, total: int, text: str) -> None:
        """`done` of `total` units of the work named `text` are finished."""
        self.event("progress", done=done, total=total, text=text)

    def track(self, items: Sequence[T], text: str) -> Iterator[T]:
        """Iterates over `items` and reports the progress after each."""
        self.progress(0, len(items), text)
        for done, item in enumerate(items, 1):
            yield item
            self.progress(done, len(items), text)
