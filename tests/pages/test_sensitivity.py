"""The Sensitivity page draws what a profile holds, and has computed what it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from qexplore.allocate.sensitivity import METRICS as KNOWN
from qexplore.runs import Store, profiles
from qexplore.ui.sensitivity import METRICS
from tests.executors import Idle
from tests.pages.shelf import shelve
from tests.pages.words import words

Open = Callable[..., AppTest]
TASK = "resnet-digits"
ASKED = {"kind": "sensitivity", "task": TASK, "recipe": "w8a8", "seed": 0, "metric": "hessian-trace", "images": None}


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page queues stays in the queue."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())


def test_every_metric_of_the_engine_is_offered_with_what_it_is() -> None:
    assert set(METRICS) == set(KNOWN)
    assert "HAWQ-V2" in METRICS["hessian-trace"]


def test_a_metric_that_no_profile_holds_is_computed_in_the_background(opened: Open, home: Path) -> None:
    at = opened("sensitivity", task=TASK, metric="hessian-trace")
    assert "hessian-trace has not been computed on this task" in words(at)
    assert not at.get("vega_lite_chart")
    at.button(key="compute-metric").click().run()
    assert [run.spec for run in Store(home, executor=Idle()).runs(state="queued")] == [ASKED]
    assert at.button(key="compute-metric").disabled


def test_a_metric_that_was_computed_is_drawn_and_compared(opened: Open, home: Path) -> None:
    table = profiles.load(TASK).sensitivity
    table = table[table["metric"] == "fit"].assign(metric="hessian-trace")
    shelve(home, ASKED, {}, sensitivity_parquet=table)
    at = opened("sensitivity", task=TASK, metric="hessian-trace")
    assert len(at.get("vega_lite_chart")) == 3
    assert "Does hessian-trace tell how far the answers move?" in words(at)
    assert "hessian-trace" in at.dataframe[-1].value.index


def test_a_table_of_another_network_is_not_drawn(opened: Open, home: Path) -> None:
    table = profiles.load("mobilenet-digits").sensitivity
    shelve(home, ASKED, {}, sensitivity_parquet=table.assign(metric="hessian-trace"))
    assert "has not been computed" in words(opened("sensitivity", task=TASK, metric="hessian-trace"))
