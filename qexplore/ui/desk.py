"""Answers that take longer than a redraw: worked out in threads, kept, and fetched by the next redraw."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Any

import streamlit as st

from qexplore.runs import Superseded

_KEPT = 2000


class Desk:
    """A question is worked on once, for all sessions; of an asker's waiting questions only the newest is kept.

    threads: at most so many work at the same time, and they end with their work. An app that is stopped waits for
    none of them, so whatever they write has to be whole or absent at any moment.
    """

    def __init__(self, threads: int) -> None:
        self._threads, self._working = threads, 0
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
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
                known = self._asked[question] = self._begun(work)
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

    def _begun(self, work: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        if self._working == self._threads:
            self._waiting.append((future, work))
            return future
        future.set_running_or_notify_cancel()  # before its thread runs: with a thread of its own nothing overtakes it
        # Threads of a ThreadPoolExecutor are no daemons: Python would not end before they have.
        threading.Thread(target=self._work, args=(future, work), name="desk", daemon=True).start()
        self._working += 1
        return future

    def _work(self, future: Future[Any], work: Callable[[], Any]) -> None:
        """Works on this, and then until nothing waits any more."""
        _carry_out(future, work)
        while (following := self._next()) is not None:
            _carry_out(*following)

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        with self._lock:
            while self._waiting:
                future, work = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    return future, work
            self._working -= 1
            return None

    @staticmethod
    def _replaced(future: Future[Any]) -> bool:
        """Whether a newer question has taken this one's place."""
        return future.cancelled() or (future.done() and isinstance(future.exception(), Superseded))

    def _drop(self, question: Hashable | None) -> None:
        future = self._asked.get(question) if question is not None else None
        if future is not None and future.cancel():
            del self._asked[question]


def _carry_out(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # it belongs to whoever asks for the result
        future.set_exception(error)


@st.cache_resource
def desk(name: str, threads: int = 1) -> Desk:
    """The desk called `name` of this server."""
    return Desk(threads)


def session() -> str:
    """A name of this visitor's session, so that visitors do not drop each other's questions."""
    return str(st.session_state.setdefault("session-name", secrets.token_hex(6)))
