"""The runs of a home, for every door: ask, look, stop, resume, delete. Free of torch and of processes of its own."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import qexplore
from qexplore.errors import QexploreError, UnknownName
from qexplore.places import expanded
from qexplore.runs.documents import check_spec, fingerprint
from qexplore.runs.errors import HomeUnusable, RunActive, RunCarriedOn, RunDone, RunOutdated, UnknownRun
from qexplore.runs.executor import Executor, executor_for
from qexplore.runs.files import replacing
from qexplore.runs.home import home, prepare
from qexplore.runs.inheritance import inherit, kept, went_beyond
from qexplore.runs.lock import waiting
from qexplore.runs.records import Records
from qexplore.runs.run import STATES, Event, Run
from qexplore.runs.workers import file_roots

_ID = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")


class Store:
    """One SQLite file and one folder per run below `root` (QEXPLORE_HOME where None).

    Whatever it says of an active run is checked first: where no supervisor lives, one is started, and a run whose
    process is gone is marked lost. May be used from any thread; holds nothing open.
    Raises HomeUnusable, StoreTooNew, UnknownRun: each a QexploreError of one sentence.
    """

    def __init__(self, root: Path | str | None = None, *, executor: Executor | None = None) -> None:
        self.root = prepare(home() if root is None else expanded(root).absolute())
        self.executor = executor_for(self.root) if executor is None else executor
        self._records = Records(self.root)

    def submit(
        self, spec: dict[str, Any], *, threads: int = 1, memory_mb: int | None = None, parent: str | None = None
    ) -> str:
        """Queues a run and returns its id.

        spec: plain JSON with the text "kind"; what else is in it is between the caller and the job.
        threads: of torch, OpenMP and BLAS. memory_mb: cap on the worker's address space (enforced on Linux).
        """
        return self._begun(self._filed(spec, threads=threads, memory_mb=memory_mb, parent=parent))

    def _begun(self, run_id: str) -> str:
        self.executor.submit(run_id)
        return run_id

    def _filed(
        self,
        spec: dict[str, Any],
        *,
        threads: int,
        memory_mb: int | None,
        parent: str | None,
        takes_over: Path | None = None,
    ) -> str:
        """Files a run without beginning it. takes_over: folder of the run whose checkpoints it goes on from."""
        spec = check_spec(spec)
        if threads < 1 or (memory_mb is not None and memory_mb < 1):
            raise QexploreError(f"A run needs at least one thread and 1 MB, not {threads} and {memory_mb}.")
        run_id = f"{time.strftime('%y%m%d')}-{secrets.token_hex(4)}"
        parent = None if parent is None else self._get(parent).id
        folder = self.root / "runs" / run_id
        try:
            folder.mkdir()
            with replacing(folder / "spec.json") as draft:
                draft.write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
            file_roots(folder)
            if takes_over is not None:
                inherit(takes_over, folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise HomeUnusable(self.root, (error.strerror or str(error)).lower()) from error
        options = {"engine": qexplore.__version__, "threads": threads, "memory_mb": memory_mb, "parent": parent}
        try:
            self._records.insert(run_id, spec, options)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run_id

    def run(self, run_id: str) -> Run:
        """The run called `run_id`, in its true state."""
        run = self._get(run_id)
        if run.active:
            self.executor.reconcile()
            run = self._get(run_id)
        return run

    def runs(
        self,
        *,
        limit: int | None = 50,
        state: str | Iterable[str] | None = None,
        kind: str | None = None,
        task: str | None = None,
    ) -> list[Run]:
        """The newest runs, the newest first, in their true states.

        state: only those in it, or in one of them; kind, task: only those of it.
        """
        states = STATES if state is None else _states([state] if isinstance(state, str) else state)
        if self._records.active():
            self.executor.reconcile()
        return self._records.latest(limit, states, kind=kind, task=task)

    def find(self, spec: dict[str, Any], *, state: str | Iterable[str] = "done") -> Run | None:
        """The newest run of the same spec and engine version in `state`, for example "done" or runs.ACTIVE.

        None where its task was removed and added anew since.
        """
        states = _states([state] if isinstance(state, str) else state)
        run = self._records.find(fingerprint(check_spec(spec)), qexplore.__version__, states)
        if run is not None and run.active:
            run = self.run(run.id)
        return run if run is not None and run.state in states and not run.outdated else None

    def events(
        self, run_id: str, *, after: int = 0, limit: int | None = None, names: Iterable[str] | None = None
    ) -> list[Event]:
        """What the run has reported since event number `after`, in order; of these `names` only, where they are given.

        Reading some names of a long run costs as much as these events, not as all of them.
        """
        self._get(run_id)
        return self._records.events(run_id, after, limit, None if names is None else list(names))

    def folder(self, run_id: str) -> Path:
        """The run's files: spec.json, roots.json, log.txt, result.json and what its job files."""
        return self.root / "runs" / self._get(run_id).id

    def ask_cancel(self, run_id: str) -> Run:
        """Ends a queued run at once and a running one within 3 s; leaves a finished one alone.

        A run that trains ends after its present step, so that its checkpoint is kept: within a minute.
        """
        if self._get(run_id).active:
            self._records.ask_cancel(run_id)
            self.executor.cancel(run_id)
        return self._get(run_id)

    def ask_pause(self, run_id: str) -> Run:
        """Takes a queued run out of the queue and ends a running one after its present step, to be resumed there.

        What does not end within a minute is killed, and resumed from its last checkpoint; what keeps none starts anew
        when it is resumed. A finished run is left alone.
        """
        if self._get(run_id).active:
            self._records.ask_pause(run_id)
            self.executor.cancel(run_id)
        return self._get(run_id)

    def resume(self, run_id: str) -> str:
        """Queues a run of the same spec that carries on `run_id`, its parent, from its last checkpoint.

        So that nothing is trained twice: RunActive where that one has not ended, RunDone where it has nothing left to
        do, RunCarriedOn where a run went on from it already (see `successor`). RunOutdated where its task is another
        one by now, which would be given the weights of the one before.
        """
        with waiting(self.root / "resume.lock"):  # of two doors at the same moment, one finds the other's run
            run = self.run(run_id)
            if run.active:
                raise RunActive(run.id, run.state, "resumed")
            if run.state == "done":
                raise RunDone(run.id)
            after = self.successor(run.id)
            if after is not None:
                raise RunCarriedOn(run.id, after.id, after.state)
            if run.outdated:
                raise RunOutdated(run.id, run.task, "resumed")
            takes_over = self.root / "runs" / run.id
            child = self._filed(
                run.spec, threads=run.threads, memory_mb=run.memory_mb, parent=run.id, takes_over=takes_over
            )
        return self._begun(child)

    def repeat(self, run_id: str) -> str:
        """Queues a run of the same spec that starts from the beginning, whatever the other's state."""
        run = self._get(run_id)
        return self.submit(run.spec, threads=run.threads, memory_mb=run.memory_mb)

    def line(self, run_id: str) -> list[Run]:
        """The run and those that it carries on, the first of them first: together they tell the whole training."""
        runs = [self.run(run_id)]
        while runs[0].parent is not None:
            runs.insert(0, self._get(runs[0].parent))
        return runs

    def successor(self, run_id: str) -> Run | None:
        """The run that went on from `run_id` and has come furthest: the one to look at, or to resume, in its place.

        None where nobody resumed it, and where whoever did ended early without a checkpoint of its own: it knows no
        more than `run_id`, which can be resumed again.
        """
        run = self.run(run_id)
        for child in self._records.children(run.id):  # the newest first
            child = self.run(child.id)
            further = self.successor(child.id)
            if further is not None:
                return further
            if child.active or child.state == "done" or went_beyond(self.folder(run.id), self.folder(child.id)):
                return child
        return None

    def seconds(self, run_id: str) -> float | None:
        """Seconds that the run and those that it carries on have worked in all; None where none of them began."""
        worked = [run.seconds for run in self.line(run_id) if run.seconds is not None]
        return sum(worked) if worked else None

    def checkpoints(self, run_id: str) -> list[str]:
        """Names of the checkpoints from which a resumed run would go on: "<number>-<step>" of its recipe."""
        return kept(self.folder(run_id))

    def delete(self, run_id: str) -> None:
        """Removes a finished run, its events and its folder; RunActive where it has not ended."""
        run = self.run(run_id)
        if run.active:
            raise RunActive(run.id, run.state, "deleted")
        try:
            shutil.rmtree(self.root / "runs" / run.id)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise HomeUnusable(self.root, f"the folder of run {run.id} cannot be removed ({error.strerror})") from error
        self._records.remove(run.id)

    def wait(self, run_id: str, *, timeout: float | None = None, every: float = 0.2) -> Run:
        """The run once it has ended, or as it is after `timeout` seconds."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while (run := self.run(run_id)).active and time.monotonic() < until:
            time.sleep(every)
        return run

    def _get(self, run_id: str) -> Run:
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
            raise UnknownRun(run_id, [run.id for run in self._records.latest(3, STATES)])
        return self._records.get(run_id)


def _states(states: Iterable[str]) -> list[str]:
    chosen = list(states)
    for state in chosen:
        if state not in STATES:
            raise UnknownName("state of a run", state, STATES)
    return chosen
