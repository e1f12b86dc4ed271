"""A real training that is killed, and paused, and resumed ends on the rows of one that never stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from qexplore.runs import LocalExecutor, Store
from tests.runs.conftest import eventually

RECIPE = {
    "name": "short",
    "steps": ["fold-bn", "weight-ranges", "activation-ranges", {"qat": {"epochs": 4, "batch": 32, "ema": 0.9}}],
    "weights": {"bits": 3},
    "activations": {"bits": 3},
}
SPEC = {"kind": "recipe", "task": "resnet-digits", "recipe": RECIPE, "seed": 0}


@pytest.fixture
def local() -> Callable[[Path], LocalExecutor]:
    """Makes executors whose workers know the engine's own jobs."""
    return lambda root: LocalExecutor(root, idle=0.5)


def rows(store: Store, run_id: str) -> pd.DataFrame:
    run = store.wait(run_id, timeout=120)
    assert run.state == "done", run.error
    return pd.DataFrame(run.result["steps"]).drop(columns="seconds")


def test_a_training_that_is_killed_and_then_paused_ends_as_one_that_never_stopped(store: Store) -> None:
    first = store.submit(SPEC)
    eventually(lambda: store.events(first, names=["epoch"]), within=120)
    os.killpg(store.run(first).pid, signal.SIGKILL)
    eventually(lambda: store.run(first).state == "failed")
    second = store.resume(first)
    eventually(lambda: store.events(second, names=["training-started"]), within=120)
    store.ask_pause(second)
    assert store.wait(second, timeout=60).state == "paused"
    third, whole = store.resume(second), store.submit(SPEC)
    pd.testing.assert_frame_equal(rows(store, third), rows(store, whole))
    starts = [store.events(run, names=["training-started"])[0].event for run in (first, second, third)]
    assert starts[0]["at"] == 0 < starts[0]["steps_per_epoch"] <= starts[1]["at"] <= starts[2]["at"]
    epochs = [[event.event["epoch"] for event in store.events(run, names=["epoch"])] for run in (third, whole)]
    assert epochs == [[1, 2, 3, 4]] * 2
