"""The warm bench, seen from the app: questions to a process that keeps prepared networks."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from qexplore.errors import QexploreError
from qexplore.plain import plain
from qexplore.runs import workers
from qexplore.runs.pipe import Pipe, PipeClosed

PATIENCE_SECONDS = 120.0  # without a sign of life, after which a process that is asked counts as stuck


class WarmDied(QexploreError):
    """The warm process ended while it was asked; the next question starts another one."""


class WarmSlow(QexploreError):
    """No answer in time; the process goes on, and a later question may find it ready."""


class Superseded(QexploreError):
    """A newer question of the same asker came while this one waited."""


class Warm:
    """One warm process, started by the first question and after its death by the next one; any thread may ask.

    One question is answered at a time. module: where the process finds `answer(request: dict, report: Report) -> dict`.
    log: file for what the process prints; the terminal where None. patience: seconds without an answer or another sign
    of life, an event of that report, after which a process that is asked is killed.
    """

    def __init__(
        self,
        *,
        module: str = "qexplore.runs.prepared",
        threads: int = 1,
        log: Path | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._module, self._threads, self._log, self._patience = module, threads, log, patience
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._count = 0
        self._newest: dict[str, int] = {}
        self._pipe: Pipe | None = None
        self._owed: float | None = None  # its last sign of life since it owes a reply; the first is a greeting

    def start(self) -> None:
        """Starts the process, so that it imports while nobody waits; does nothing where it lives or is being asked."""
        if self._turn.acquire(blocking=False):
            try:
                self._living()
            finally:
                self._turn.release()

    def ask(self, request: dict[str, Any], *, timeout: float = 60.0, asker: str = "") -> dict[str, Any]:
        """The answer of the warm process.

        timeout: seconds, for waiting, starting and answering together. asker: a question still waiting is dropped
        when a newer one of the same asker comes; give each browser session its own.
        Raises WarmSlow, Superseded, WarmDied, a QexploreError in the words of the process, and RuntimeError where its
        work failed.
        """
        until = time.monotonic() + timeout
        number = self._number(asker)
        if not self._turn.acquire(timeout=max(timeout, 0.0)):
            raise self._slow(timeout)
        try:
            if not self._last(asker, number):
                raise Superseded("A newer question has taken the place of this one.")
            return self._answer(plain(request), until, timeout)
        except PipeClosed as error:
            raise self._died() from error
        finally:
            self._turn.release()

    def close(self) -> None:
        """Ends the process; a later question starts another one."""
        with self._turn:
            self._drop()

    @property
    def pid(self) -> int | None:
        """Of the process that lives; None where none does."""
        pipe = self._pipe
        return pipe.pid if pipe is not None and pipe.alive else None

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *raised: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _number(self, asker: str) -> int:
        with self._counting:
            self._count += 1
            self._newest[asker] = self._count
            return self._count

    def _last(self, asker: str, number: int) -> bool:
        """Whether nobody has asked since under the same name; forgets the name where so."""
        with self._counting:
            if self._newest.get(asker) != number:
                return False
            del self._newest[asker]
            return True

    def _answer(self, request: dict[str, Any], until: float, timeout: float) -> dict[str, Any]:
        pipe = self._living()
        if self._owed is not None and self._reply(pipe, until) is None:  # its greeting, or what someone gave up on
            raise self._slow(timeout)
        pipe.send({"request": request})
        self._owed = time.monotonic()
        reply = self._reply(pipe, until)
        if reply is None:
            raise self._slow(timeout)
        if "refused" in reply:
            raise QexploreError(reply["refused"])
        if "failed" in reply:
            raise RuntimeError(f"The warm bench failed with {reply['failed']}.")
        answer: dict[str, Any] = reply["answer"]
        return answer

    def _living(self) -> Pipe:
        if self._pipe is not None and not self._pipe.alive:
            self._drop()  # it died while nobody asked: nothing is lost, nobody needs to know
        if self._pipe is None:
            command = workers.python("qexplore.runs.warm_server", self._module)
            self._pipe = Pipe(command, workers.environment(self._threads), self._log)
            self._owed = time.monotonic()
        return self._pipe

    def _reply(self, pipe: Pipe, until: float) -> dict[str, Any] | None:
        """The reply that the process owes, or None at `until`. A process that is silent for too long is killed."""
        assert self._owed is not None
        while True:
            gives_up = self._owed + self._patience
            reply = pipe.receive(min(until, gives_up))
            if reply is None or "alive" not in reply:
                break
            self._owed = time.monotonic()
        if reply is None and time.monotonic() >= gives_up:
            self._drop(grace=0.0)
            raise WarmDied(
                f"The warm bench was ended after {self._patience:g} s without an answer or another sign of life; "
                "ask again."
            )
        if reply is not None:
            self._owed = None
            if "broken" in reply:
                self._drop()
                raise WarmDied(f"The warm bench cannot start: {reply['broken']}.")
        return reply

    def _died(self) -> WarmDied:
        status = self._drop()
        how = f"ended with exit status {status}"
        if status == -signal.SIGKILL:
            how = "was killed by signal 9, probably because the memory ran out"
        elif status is not None and status < 0:
            how = f"was killed by signal {-status}"
        return WarmDied(f"The warm bench {how}; ask again, and a new one starts.")

    def _slow(self, timeout: float) -> WarmSlow:
        return WarmSlow(f"The warm bench has not answered within {timeout:g} s; it is busy, ask again later.")

    def _drop(self, grace: float = 1.0) -> int | None:
        pipe, self._pipe, self._owed = self._pipe, None, None
        return None if pipe is None else pipe.end(grace)
