"""The verb runs: what it lists, shows and refuses."""

from __future__ import annotations

import pytest

from qexplore.recipes import Recipe
from qexplore.runs import Store
from qexplore.runs import store as stores
from qexplore.runs.recordings import recordings
from qexplore.runs.records import Records
from tests.executors import Idle
from tests.trainings import recipe_events

SPEC = {"kind": "recipe", "task": "mobilenet-digits", "recipe": "w8a8", "seed": 0}


@pytest.fixture
def run(home, monkeypatch):
    """The id of a run that waits; nothing carries it out."""
    monkeypatch.setattr(stores, "executor_for", lambda root: Idle())
    return Store().submit(SPEC)


def test_what_run_does_in_the_background_waits_in_the_home_and_can_be_paused(say, home, monkeypatch):
    monkeypatch.setattr(stores, "executor_for", lambda root: Idle())
    told = say("run", "qat-w3a3", "--task", "resnet-digits", "--seed", "3", "--background", "--json").document
    spec = {"kind": "recipe", "task": "resnet-digits", "recipe": "qat-w3a3", "seed": 3}
    assert {name: told[name] for name in spec} == spec
    assert Store().run(told["id"]).spec == spec
    assert say("runs", "pause", told["id"], "--json").document["state"] == "paused"
    other = say("run", "qat-w3a3", "--task", "resnet-digits", "--set", "qat.epochs=2", "--background")
    assert "is queued" in other.out
    (run,) = Store().runs(state="queued")
    assert run.id in other.out
    assert Recipe.load(run.spec["recipe"]).steps[-1].settings["epochs"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "torchvision:resnet18", "--data", "cifar10"), "leave --model out"),
        (("--task", "resnet20-cifar10", "--data", "."), "leave --data out"),
        ((), "Nothing to work on"),
        (("--task", "resnet-digit"), "resnet-digit"),
        (("--task", "resnet-digits", "--set", "qat.rate=-1"), "rate"),
    ],
)
def test_what_cannot_be_done_in_the_background_is_refused_before_it_is_queued(say, home, words, told):
    said = say("run", "qat-w3a3", *words, "--background")
    assert said.status == 2
    assert told in said.err
    assert len(said.err.splitlines()) == 1
    assert not Store().runs()


def test_an_empty_home_has_no_runs(say):
    assert say("runs", "--json").document == []
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


@pytest.mark.parametrize(("action", "verb"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_run_that_has_ended_is_neither_cancelled_nor_paused_and_says_so(say, run, action, verb):
    say("runs", "pause", run)
    refused = say("runs", action, run, "--json")
    assert refused.status == 2
    assert f"Run {run} is paused and cannot be {verb}: only a run that waits or works can" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert refused.out == ""
    assert say("runs", "show", run, "--json").document["state"] == "paused"


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_list_of_no_runs_is_refused(say, run, limit):
    refused = say("runs", "list", "--limit", limit)
    assert refused.status == 2
    assert "--limit takes a whole number from 1 on" in refused.err
    assert refused.out == ""


def test_a_run_is_paused_resumed_and_repeated(say, run):
    assert say("runs", "pause", run, "--json").document["state"] == "paused"
    assert [one["id"] for one in say("runs", "list", "--state", "paused", "--json").document] == [run]
    resumed = say("runs", "resume", run, "--json").document
    assert (resumed["state"], resumed["parent"], resumed["spec"]) == ("queued", run, SPEC)
    repeated = say("runs", "repeat", run, "--json").document
    assert (repeated["state"], repeated["parent"], repeated["spec"]) == ("queued", None, SPEC)
    assert len({run, resumed["id"], repeated["id"]}) == 3


def test_a_run_that_was_resumed_names_the_one_that_went_on_and_is_not_resumed_again(say, run):
    say("runs", "pause", run)
    after = say("runs", "resume", run, "--json").document["id"]
    refused = say("runs", "resume", run)
    assert refused.status == 2
    assert f"run {after} went on from it and is queued" in refused.err
    assert len(refused.err.splitlines()) == 1
    assert say("runs", "show", run, "--json").document["carried_on_by"] == after
    assert after in say("runs", "show", run).out
    assert say("runs", "show", after, "--json").document["carried_on_by"] is None


def test_how_far_a_training_is_stands_in_one_line(say, run):
    assert say("runs", "show", run, "--json").document["training"] is None
    records = Records(Store().root)
    records.claim(run, 1, "x")
    begin = {"event": "training-started", "step": "qat", "epochs": 20, "steps_per_epoch": 5, "at": 10}
    records.tell(run, [(0.0, begin)], None)
    assert say("runs", "show", run, "--json").document["training"] == "qat, 2 of 20 epochs"
    records.tell(run, [(1.0, {"event": "epoch", "epoch": 3, "at": 15, "accuracy": 0.9, "images": 1300})], None)
    assert "qat, 3 of 20 epochs, 90.0 % of 1,300 calibration images" in say("runs", "show", run).out


@pytest.mark.parametrize("action", ["show", "cancel", "pause", "resume", "repeat", "delete"])
def test_an_unknown_run_is_one_sentence(say, action):
    spoken = say("runs", action, "nothing-like-it", "--json")
    assert spoken.status == 2
    assert "nothing-like-it" in spoken.err
    assert len(spoken.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["lst"], ["show"], ["list", "1"], ["list", "--state", "sleeping"]])
def test_wrong_words_are_one_sentence(say, words):
    spoken = say("runs", *words)
    assert spoken.status == 2
    assert len(spoken.err.splitlines()) == 1


def test_what_a_training_has_told_is_recorded_in_a_folder(say, run, tmp_path):
    records = Records(Store().root)
    records.claim(run, 1, "x")
    records.tell(run, [(0.0, event) for event in recipe_events("qat")], None)
    records.finish(run, "done", result={})
    folder = tmp_path / "mobilenet-digits" / "mine"
    kept = say("runs", "record", run, "--out", str(folder), "--json").document
    assert kept == {"id": run, "state": "recorded", "folder": str(folder)}
    assert [one.name for one in recordings("mobilenet-digits", tmp_path)] == ["mine"]


def test_a_recording_needs_a_folder(say, run):
    refused = say("runs", "record", run)
    assert refused.status == 2
    assert "--out FOLDER" in refused.err
