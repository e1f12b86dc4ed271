"""Who carries queued runs out: on this machine, a supervisor of the home."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from qexplore.errors import QexploreError
from qexplore.runs import jobs, lock, workers
from qexplore.runs.deaths import mark_lost
from qexplore.runs.records import Records

LOCK = "supervisor.lock"
AT_ONCE = 1  # runs: two of them on two cores take longer than one after the other
IDLE_SECONDS = 30.0  # without work, until the supervisor ends

_STARTED: list[subprocess.Popen[bytes]] = []  # kept, so that those that have ended can be reaped


class Executor(Protocol):
    """The four things that the store asks of whoever carries runs out."""

    def submit(self, run_id: str) -> None:
        """Sees to it that the queued run will be carried out."""

    def cancel(self, run_id: str) -> None:
        """Sees to it that the run, whose wish to cancel or to pause is in the store, ends: within 3 s, or soon."""

    def reconcile(self) -> None:
        """Makes the states in the store true."""

    def capacity(self) -> int:
        """How many runs may work at the same time."""


class LocalExecutor:
    """A detached supervisor, started whenever there is work and nobody holds the home's lock.

    idle: seconds without work after which the supervisor ends.
    modules: where the worker finds the kinds of run; only Python code can say so, neither a spec nor the environment.
    patience: seconds that a run has to end by itself which is to be paused; None for the supervisor's own.
    """

    def __init__(
        self,
        root: Path,
        *,
        idle: float = IDLE_SECONDS,
        modules: Sequence[str] = jobs.MODULES,
        patience: float | None = None,
    ) -> None:
        self._root, self._idle, self._modules, self._patience = root, idle, tuple(modules), patience
        self._records = Records(root)

    def submit(self, run_id: str) -> None:
        self.reconcile()

    def cancel(self, run_id: str) -> None:
        self.reconcile()

    def capacity(self) -> int:
        return AT_ONCE

    def reconcile(self) -> None:
        """Where no supervisor lives: ends the runs whose process is gone and, if work is left, starts one."""
        held = lock.take(self._root / LOCK)
        if held is None:
            return
        try:
            mark_lost(self._records)
            if self._records.active():
                self._start(held)
        finally:
            os.close(held)  # the supervisor has its own copy: the lock was never free

    def _start(self, held: int) -> None:
        _STARTED[:] = [process for process in _STARTED if process.poll() is None]
        options = [f"--lock={held}", f"--idle={self._idle}", *(f"--jobs={module}" for module in self._modules)]
        options += [] if self._patience is None else [f"--patience={self._patience}"]
        try:
            with (self._root / "supervisor.log").open("ab") as log:
                process = subprocess.Popen(
                    workers.python("qexplore.runs.supervisor", str(self._root), *options),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=[held],
                    cwd=self._root,
                    env=workers.environment(),
                )
        except OSError as error:
            raise QexploreError(f"The supervisor of the runs could not be started: {error}; the runs wait.") from error
        _STARTED.append(process)


def executor_for(root: Path) -> Executor:
    """The executor that QEXPLORE_EXECUTOR names; a local one where it is not set."""
    name = os.environ.get("QEXPLORE_EXECUTOR") or "local"
    if name != "local":
        raise QexploreError(f"QEXPLORE_EXECUTOR is {name!r}, but only 'local' is known; set it to that or unset it.")
    return LocalExecutor(root)
