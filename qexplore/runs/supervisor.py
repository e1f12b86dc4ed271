"""The one process of a home that starts, watches and kills workers. `python -m qexplore.runs.supervisor ROOT`.

It is detached, holds the home's lock, and may die at any time: whoever looks at the runs next starts another one,
which adopts the workers that go on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qexplore.errors import QexploreError
from qexplore.runs import database, jobs, lock, workers
from qexplore.runs.deaths import outcome, wish
from qexplore.runs.errors import StoreTooNew
from qexplore.runs.executor import AT_ONCE, IDLE_SECONDS, LOCK
from qexplore.runs.process import kill_group
from qexplore.runs.records import Records
from qexplore.runs.run import Run

LOOK_SECONDS = 0.1
GRACE_SECONDS = 1.5  # between the wish to cancel and the kill; 3 s is the promise, on a busy machine too
PAUSE_SECONDS = 60.0  # the same of the wish to pause, and of a training: a step, and its checkpoint, may take long
TRAINING = ("training-started", "training-ended")  # events between which a run trains
RETRY_SECONDS = 1.0  # after the store could not be read or written


@dataclass
class Watched:
    """A run and its worker; `since` is when the present wish to stop it was seen first."""

    run: Run
    worker: workers.Worker
    since: float | None = None
    wish: str = ""
    forced: float | None = None

    def overdue(self, now: Run, grace: float) -> float | None:
        """`grace`, where the wish to stop is that many seconds old; by either clock, as one may be set."""
        asked = now.pause_asked if wish(now) == "paused" else now.cancel_asked
        if asked is None:
            return None
        if self.since is None or self.wish != wish(now):
            self.wish, self.since = wish(now), time.monotonic()
        return grace if max(time.monotonic() - self.since, time.time() - asked) >= grace else None


class Supervisor:
    """Brings what the store says and what the processes do together, once a tick.

    patience: seconds that a run has to end by itself which is to be paused, or which trains and so keeps a checkpoint.
    """

    def __init__(self, root: Path, modules: Sequence[str], patience: float = PAUSE_SECONDS) -> None:
        self._root, self._modules, self._patience = root, modules, patience
        self._records = Records(root)
        self._watched: dict[str, Watched] = {}

    def tick(self) -> bool:
        """One look at everything; False where there is nothing to do."""
        active = {run.id: run for run in self._records.active()}
        known = dict(self._watched)
        for watched in known.values():
            self._look_after(watched, active.get(watched.run.id))
        for run in active.values():
            if run.state == "running" and run.pid is not None and run.id not in known:
                log(f"adopts process {run.pid} of run {run.id}")
                self._watched[run.id] = Watched(run, workers.Adopted(run.pid, run.pid_start))
        waiting = [run for run in active.values() if run.state == "queued" and run.id not in known]
        for run in waiting[: max(AT_ONCE - len(self._watched), 0)]:
            self._start(run)
        return bool(active or self._watched)

    @property
    def watching(self) -> bool:
        """Whether there are workers to look after."""
        return bool(self._watched)

    def _look_after(self, watched: Watched, now: Run | None) -> None:
        if watched.worker.ended():
            self._bury(watched)
        elif now is not None and now.stop_asked is not None:
            watched.forced = watched.overdue(now, self._grace(now))
            if watched.forced is not None:
                kill_group(watched.worker.pid)

    def _grace(self, run: Run) -> float:
        if wish(run) == "paused":
            return self._patience
        told = self._records.events(run.id, 0, None, TRAINING)
        trains = bool(told) and told[-1].name == TRAINING[0]
        return self._patience if trains else GRACE_SECONDS

    def _bury(self, watched: Watched) -> None:
        """Ends the run in the store, where its worker has not done so itself."""
        run, worker = watched.run, watched.worker
        if worker.status is not None:
            kill_group(worker.pid)  # children that it left behind
        seen = next((entry for entry in self._records.active() if entry.id == run.id), None)
        if seen is not None:
            diary = self._root / "runs" / run.id / "log.txt"
            state, sentence = outcome(seen, worker.status, diary, watched.forced)
            if self._records.finish(run.id, state, error=sentence, pid=worker.pid):
                log(f"run {run.id}: {sentence}")
        del self._watched[run.id]  # last: where the store refuses, the next tick tries again

    def _start(self, run: Run) -> None:
        try:
            self._watched[run.id] = Watched(run, workers.start(self._root, run, self._modules))
        except OSError as error:
            self._records.finish(run.id, "failed", error=f"The worker could not be started: {error}.")


def serve(root: Path, held: int, idle: float, modules: Sequence[str], patience: float) -> None:
    """Ticks until there has been no work for `idle` seconds, under the lock `held`."""
    holder: int | None = held
    while holder is not None:
        _serve_until_idle(Supervisor(root, modules, patience), root, idle)
        os.close(holder)
        # Who queued a run while the lock was held trusts us with it: look again now that it is free.
        holder = lock.take(root / LOCK) if _has_work(root) else None


def _serve_until_idle(supervisor: Supervisor, root: Path, idle: float) -> None:
    # An open connection spares every short one the checkpoint that SQLite makes when the last one closes.
    with database.reading(root):
        busy = time.monotonic()
        while (root / database.FILE).exists() and (supervisor.watching or time.monotonic() - busy < idle):
            try:
                if supervisor.tick():
                    busy = time.monotonic()
                time.sleep(LOOK_SECONDS)
            except StoreTooNew:
                raise
            except QexploreError as error:  # a full disk may have room again
                log(str(error))
                time.sleep(RETRY_SECONDS)


def _has_work(root: Path) -> bool:
    return (root / database.FILE).exists() and bool(Records(root).active())


def log(text: str) -> None:
    """A line in supervisor.log, where the disk has room for it."""
    with suppress(OSError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} supervisor {os.getpid()}: {text}\n")


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, also where another supervisor has the lock; 1 where the store cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m qexplore.runs.supervisor")
    parser.add_argument("root", type=Path)
    parser.add_argument("--lock", type=int, metavar="DESCRIPTOR", help="an inherited descriptor that holds the lock")
    parser.add_argument("--idle", type=float, default=IDLE_SECONDS)
    parser.add_argument("--patience", type=float, default=PAUSE_SECONDS)
    parser.add_argument("--jobs", action="append", metavar="MODULE")
    options = parser.parse_args(arguments)
    try:
        held = lock.take(options.root / LOCK) if options.lock is None else options.lock
        if held is not None:
            os.set_inheritable(held, False)
            serve(options.root, held, options.idle, options.jobs or jobs.MODULES, options.patience)
    except QexploreError as error:
        log(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
