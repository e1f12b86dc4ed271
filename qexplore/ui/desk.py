"""Answers that take longer than a redraw: worked out in threads, kept, and fetched by the next redraw."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import streamlit as st

from qexplore.runs import Superseded

_KEPT = 2000


class Desk:
    """A question is worked on once, for all sessions; of an asker's waiting questions only the newest is kept."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="desk")
        self._asked: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._newest: dict[str, Hashable] = {}
        self._lock = threading.Lock()

    def ask(self, asker: str, question: Hashable, work: Callable[[], Any], *, patience: float = 0.0) -> Future[Any]:
        """The future of `work`, after at most `patience` seconds of waiting for its end.

        An older question of this asker that has not begun is dropped. A question that failed stays failed until
        `forget`: a page that redraws must not ask it over and over.
        """
        with self._lock:
            known = self._asked.get(question)
            if known is None or self._replaced(known):
                self._drop(self._newest.get(asker))
                known = self._asked[question] = self._pool.submit(work)
            self._newest[asker] = question
            self._asked.move_to_end(question)
            while len(self._asked) > _KEPT:
                self._asked.popitem(last=False)
        if patience > 0:
            wait([known], timeout=patience)
        return known

    def known(self, question: Hashable) -> Future[Any] | None:
        """What has been asked before, ended or not; starts nothing."""
        with self._lock:
            return self._asked.get(question)

    def forget(self, question: Hashable) -> None:
        """The next one who asks this question has it worked on anew."""
        with self._lock, contextlib.suppress(KeyError):
            del self._asked[question]

    @staticmethod
    def _replaced(future: Future[Any]) -> bool:
        """Whether a newer question has taken this one's place."""
        return future.cancelled() or (future.done() and isinstance(future.exception(), Superseded))

    def _drop(self, question: Hashable | None) -> None:
        future = self._asked.get(question) if question is not None else None
        if future is not None and future.cancel():
            del self._asked[question]


@st.cache_resource
def desk(name: str, threads: int = 1) -> Desk:
    """The desk called `name` of this server."""
    return Desk(threads)


def session() -> str:
    """A name of this visitor's session, so that visitors do not drop each other's questions."""
    return str(st.session_state.setdefault("session-name", secrets.token_hex(6)))
