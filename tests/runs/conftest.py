"""A store whose workers know the jobs of helpers/, and that leaves no process behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from qexplore.runs import LocalExecutor, Run, Store
from qexplore.runs import executor as executors
from tests.executors import Idle

HELPERS = Path(__file__).parent / "helpers"
PATIENCE = 30.0  # seconds; only where the issue names no limit


def eventually(condition: Callable[[], object], within: float = PATIENCE) -> float:
    """Seconds until `condition` held; fails where it did not `within` that time."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < within, "did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - begin


def supervisors(store: Store) -> list[int]:
    """Processes that this one started to supervise that very home, and that live."""
    return [process.pid for process in executors._STARTED if process.poll() is None and str(store.root) in process.args]


def working(store: Store, run_id: str, name: str = "step") -> Run:
    """The run once it has reported an event called `name`."""
    eventually(lambda: any(event.name == name for event in store.events(run_id)))
    return store.run(run_id)


@pytest.fixture
def patience() -> float | None:
    """Seconds that a run has to end by itself which is to be paused; a test may name others."""
    return None


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, patience: float | None) -> Callable[[Path], LocalExecutor]:
    """Makes executors whose workers find the jobs of helpers/."""
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    return lambda root: LocalExecutor(root, idle=0.5, modules=["runs_jobs"], patience=patience)


@pytest.fixture
def store(home: Path, local: Callable[[Path], LocalExecutor]) -> Iterator[Store]:
    store = Store(home, executor=local(home))
    yield store
    for pid in supervisors(store):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for run in store._records.active():
        if run.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
    eventually(lambda: not supervisors(store))


@pytest.fixture
def shelf(home: Path) -> Store:
    """A store that starts no process."""
    return Store(home, executor=Idle())
