"""The verb runs: what it lists, shows and refuses."""

from __future__ import annotations

import pytest

from qexplore.runs import Store
from qexplore.runs import store as stores
from tests.executors import Idle

SPEC = {"kind": "recipe", "task": "mobilenet-digits", "recipe": "w8a8", "seed": 0}


@pytest.fixture
def run(home, monkeypatch):
    """The id of a run that waits; nothing carries it out."""
    monkeypatch.setattr(stores, "executor_for", lambda root: Idle())
    return Store().submit(SPEC)


def test_an_empty_home_has_no_runs(say):
    assert say("runs", "list", "--json").document == []
    assert say("runs", "list").status == 0


def test_a_run_is_listed_and_shown(say, run):
    assert [one["id"] for one in say("runs", "list", "--json").document] == [run]
    shown = say("runs", "show", run, "--json").document
    assert (shown["id"], shown["state"], shown["spec"]) == (run, "queued", SPEC)
    assert run in say("runs", "list").out
    assert run in say("runs", "show", run).out


def test_a_run_that_waits_is_cancelled_and_deleted(say, run):
    assert say("runs", "cancel", run, "--json").document["state"] == "cancelled"
    assert say("runs", "delete", run, "--json").document == {"id": run, "state": "deleted"}
    assert say("runs", "list", "--json").document == []


@pytest.mark.parametrize("action", ["show", "cancel", "resume", "delete"])
def test_an_unknown_run_is_one_sentence(say, action):
    spoken = say("runs", action, "nothing-like-it", "--json")
    assert spoken.status == 2
    assert "nothing-like-it" in spoken.err
    assert len(spoken.err.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["lst"], ["show"], ["list", "1"], ["list", "--state", "sleeping"]])
def test_wrong_words_are_one_sentence(say, words):
    spoken = say("runs", *words)
    assert spoken.status == 2
    assert len(spoken.err.splitlines()) == 1
