"""A task that is removed and added again under its name: no page shows what was found about the one before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from qexplore.runs import Store, profiles
from qexplore.runs.records import Records
from qexplore.ui import scored
from qexplore.ui.post_training import known
from qexplore.ui.post_training.choice import recipe_of
from qexplore.ui.stored import profile_of
from tests.executors import Idle
from tests.figures.large import large
from tests.figures.tables import LADDER, RISING, ablation
from tests.pages.owned import added_again, own_task
from tests.pages.shelf import accuracy, shelve
from tests.pages.words import words
from tests.trainings import recipe_events

Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page queues stays in the queue."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())


@pytest.fixture
def mine(home: Path) -> str:
    """A task of one's own that has been measured."""
    own_task(home, "mine", data=f"folder:{home}")
    measure(home)
    return "mine"


def measure(home: Path, **header: Any) -> None:
    """A profile of the task, made now."""
    shelf = Store(home, executor=Idle())
    run = shelf.submit({"kind": "profile", "task": "mine"})
    file = large(shelf.folder(run), "mine").folder / "profile.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | header))
    Records(shelf.root).finish(run, "done", result={})


def replace(home: Path) -> None:
    """Another task under the name, measured as well."""
    added_again(home, "mine", data=f"folder:{home}")
    measure(home)


def test_a_profile_that_was_looked_at_a_moment_ago_is_not_drawn(opened: Open, home: Path, mine: str) -> None:
    at = opened("network", task=mine)
    assert "241 sites" in words(at)
    added_again(home, mine)
    assert "has not been measured yet" in words(at.run())


def test_what_is_measured_anew_is_drawn_at_once(opened: Open, home: Path, mine: str) -> None:
    at = opened("network", task=mine)
    measure(home, parameters=12_345)
    assert "12,345 parameters" in words(at.run())


def test_a_profile_is_read_once_while_it_is_the_newest(home: Path, mine: str) -> None:
    first = profile_of(mine)
    assert profile_of(mine) is first
    measure(home)
    assert profile_of(mine) is not first


def test_a_profile_under_way_of_the_task_before_is_none_of_this_one(opened: Open, home: Path, mine: str) -> None:
    shelf = Store(home, executor=Idle())
    failed = shelf.submit({"kind": "profile", "task": mine})
    Records(home).finish(failed, "failed", error="The folder is empty.")
    shelf.submit({"kind": "profile", "task": mine})
    added_again(home, mine, data=f"folder:{home}")
    at = opened("sensitivity", task=mine)
    assert at.button(key="measure-now")
    assert "The folder is empty." not in words(at)


def test_sites_have_not_been_scored(opened: Open, home: Path, mine: str) -> None:
    table = profiles.load(mine).sensitivity
    table = table[table["metric"] == "fisher"].assign(metric="hessian-trace")
    shelve(home, scored.spec_of(profiles.load(mine), "hessian-trace"), {}, sensitivity_parquet=table)
    unscored = "hessian-trace has not been computed on this task"
    assert unscored not in words(opened("sensitivity", task=mine, metric="hessian-trace"))
    replace(home)
    assert unscored in words(opened("sensitivity", task=mine, metric="hessian-trace"))


def test_a_recipe_has_been_neither_measured_nor_taken_apart_nor_debugged(home: Path, mine: str) -> None:
    recipe, before = recipe_of("corrected", "W4A8", "channel"), profiles.load(mine)
    shelve(home, known.spec_of("recipe", before, recipe), {"accuracy": accuracy(0.4321)})
    shelve(home, known.spec_of("ablation", before, recipe), {}, ablation_parquet=ablation(RISING, LADDER))
    shelve(home, known.spec_of("debug", before, recipe), {}, debug_json={"healthy": True})
    questions = (known.measured, known.ablation, known.diagnosis)
    assert all(ask(before, recipe) for ask in questions)
    replace(home)
    assert not any(ask(profiles.load(mine), recipe) for ask in questions)


def test_nobody_has_trained_it(opened: Open, home: Path, mine: str) -> None:
    run = trained(home, "done")
    assert "This network has not been trained here yet" not in words(opened("training", task=mine))
    replace(home)
    at = opened("training", task=mine, run=run)
    assert "This network has not been trained here yet" in words(at)


def test_a_paused_training_is_run_again_and_not_resumed(opened: Open, home: Path, mine: str) -> None:
    run = trained(home, "paused")
    replace(home)
    at = opened("runs", run=run)
    assert "Of another network: **mine** was removed and added anew since." in words(at)
    labels = [button.label for button in at.button]
    assert "Run again" in labels
    assert "Resume" not in labels
    assert "Open in Training" not in [link.proto.label for link in at.get("page_link")]


def trained(home: Path, state: str) -> str:
    shelf, records = Store(home, executor=Idle()), Records(home)
    run = shelf.submit({"kind": "recipe", "task": "mine", "recipe": "qat-w3a3", "seed": 0})
    records.claim(run, 1, "then")
    records.tell(run, [(1.0 * at, event) for at, event in enumerate(recipe_events())], None)
    records.finish(run, state, result={})
    return run
