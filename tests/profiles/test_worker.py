"""The engine's jobs, once through a real supervisor and a real worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

import qexplore as qx
from qexplore.runs import LocalExecutor, Run, Store
from qexplore.runs import executor as executors

PATIENCE = 120.0


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    store = Store(home, executor=LocalExecutor(home, idle=1))
    yield store
    for process in executors._STARTED:
        if process.poll() is None and str(store.root) in process.args:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            process.wait(10)


def ended(store: Store, run_id: str) -> Run:
    begin = time.monotonic()
    while store.run(run_id).state in ("queued", "running"):
        assert time.monotonic() - begin < PATIENCE, "did not end in time"
        time.sleep(0.05)
    return store.run(run_id)


def test_recipe_measure_and_a_refused_one(store: Store) -> None:
    spec = {"task": "resnet-digits", "recipe": "w4a8", "seed": 0}
    asked = store.submit({"kind": "recipe", **spec})
    network = qx.run("resnet-digits", "w4a8")
    bits = dict.fromkeys(network.sites["site"], 3)
    measured = store.submit({"kind": "measure", **spec, "bits": bits})
    refused = store.submit({"kind": "recipe", **spec, "recipe": {"steps": ["fold"]}})

    run = ended(store, asked)
    assert (run.state, run.error) == ("done", None)
    assert run.result["accuracy"] == network.accuracy.to_document()
    assert run.result["fp32"] == network.fp32_accuracy.to_document()
    folder = store.folder(asked)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "sites.parquet"), network.sites)
    steps = pd.read_parquet(folder / "steps.parquet")
    assert steps["accuracy"].equals(network.steps["accuracy"])
    told = [event for event in store.events(asked) if event.name == "step"]
    assert len(told) == len(steps)

    run = ended(store, measured)
    assert (run.state, run.error) == ("done", None)
    with network.network.using(bits):
        from qexplore.network import evaluate

        want = evaluate(network.network, qx.Task("resnet-digits").data.batches("evaluation"))
    assert run.result["accuracy"] == want.to_document()
    assert run.result["bits"] == bits

    run = ended(store, refused)
    assert run.state == "failed"
    assert run.error is not None
    assert run.error.startswith("There is no step 'fold'")
