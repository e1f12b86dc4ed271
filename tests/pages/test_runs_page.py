"""The Runs page: what can be done with a run that trains, while it works and when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from qexplore.runs import Run, Store, profiles
from qexplore.runs import store as stores
from qexplore.runs.records import Records
from qexplore.ui.work.words import table
from tests.executors import Idle
from tests.pages.shelf import accuracy, shelve
from tests.pages.words import words

SPEC = {"kind": "recipe", "task": "mobilenet-digits", "recipe": "w8a8", "seed": 0}
BEGIN = {"event": "training-started", "step": "qat", "number": 3, "epochs": 20, "steps_per_epoch": 5, "at": 0}
EPOCH = {"event": "epoch", "epoch": 7, "at": 35, "accuracy": 0.912, "images": 300}


@pytest.fixture
def shelf(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose runs nobody carries out, for the pages too."""
    monkeypatch.setattr(stores, "executor_for", lambda root: Idle())
    return Store()


def training(shelf: Store, state: str = "", *, recipe: str = "w8a8") -> str:
    """A run that has trained for 7 epochs and, where a state is given, ended in it."""
    run_id, records = shelf.submit({**SPEC, "recipe": recipe}), Records(shelf.root)
    records.claim(run_id, 1, "x")
    records.tell(run_id, [(0.0, BEGIN), (1.0, EPOCH)], None)
    (shelf.folder(run_id) / "checkpoints").mkdir()
    (shelf.folder(run_id) / "checkpoints" / "3-qat.safetensors").write_bytes(b"x")
    if state:
        records.finish(run_id, state)
    return run_id


def labels(at: AppTest) -> list[str]:
    return [button.label for button in at.button]


def press(at: AppTest, label: str) -> None:
    next(button for button in at.button if button.label == label).click().run()
    assert not at.exception, at.exception


def newest(shelf: Store) -> Run:
    return shelf.runs()[0]


@pytest.mark.parametrize("state", ["paused", "cancelled", "failed", "lost"])
def test_a_training_that_stopped_goes_on_or_starts_anew(
    shelf: Store, opened: Callable[..., AppTest], state: str
) -> None:
    run_id = training(shelf, state)
    at = opened("runs", run=run_id)
    assert {"Resume", "From the start"} <= set(labels(at))
    assert "Run again" not in labels(at)
    assert any("qat, 7 of 20 epochs, 91.2 % of 300 calibration images" in caption.value for caption in at.caption)
    press(at, "Resume")
    assert (newest(shelf).parent, shelf.checkpoints(newest(shelf).id)) == (run_id, ["3-qat"])
    press(opened("runs", run=run_id), "From the start")
    assert (newest(shelf).parent, shelf.checkpoints(newest(shelf).id)) == (None, [])


def test_a_training_that_was_resumed_leads_to_the_run_that_went_on(
    shelf: Store, opened: Callable[..., AppTest]
) -> None:
    run_id = training(shelf, "paused", recipe="qat-w3a3")
    at, records = opened("runs", run=run_id), Records(shelf.root)
    press(at, "Resume")
    after = newest(shelf).id
    at = opened("runs", run=run_id)
    assert "Resume" not in labels(at)
    assert "From the start" in labels(at)
    link = next(one.proto for one in at.get("page_link") if after in one.proto.label)
    assert link.label == f"Run {after} went on (queued)"
    assert link.page.endswith("training")
    assert f"run={after}" in link.query_string
    records.finish(after, "cancelled")  # it had learned nothing yet
    assert "Resume" in labels(opened("runs", run=run_id))


def test_a_run_that_trains_nothing_leads_to_the_one_that_went_on_here(
    shelf: Store, opened: Callable[..., AppTest]
) -> None:
    run_id, records = training(shelf, "cancelled"), Records(shelf.root)  # of a recipe that does not train
    after = shelf.resume(run_id)
    records.finish(after, "done", result={})
    at = opened("runs", run=run_id)
    press(at, f"Run {after} went on (done)")
    assert at.query_params["run"] in (after, [after])
    assert f"Carries run {run_id} on." in " ".join(caption.value for caption in at.caption)


def test_a_click_on_resume_that_comes_too_late_is_told(shelf: Store, opened: Callable[..., AppTest]) -> None:
    run_id = training(shelf, "paused")
    at = opened("runs", run=run_id)
    after = shelf.resume(run_id)
    press(at, "Resume")
    assert len(shelf.runs()) == 2
    assert any(f"run {after} went on from it" in toast.value for toast in at.toast)


def test_a_resumed_run_tells_the_time_of_the_whole_training(
    shelf: Store, opened: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 30.0))
    first = training(shelf, "paused")
    second = shelf.resume(first)
    Records(shelf.root).finish(second, "done", result={})
    told = [caption.value for caption in opened("runs", run=second).caption]
    assert f"Carries run {first} on. The 2 runs together took 60 s." in told


def test_the_list_tells_ends_durations_and_seeds(
    shelf: Store, opened: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 2765.4 if run.state == "done" else None))
    records = Records(shelf.root)
    ends = {"done": "", "failed": "The disk is full.", "cancelled": "by the user"}
    for seed, (state, error) in enumerate(ends.items()):
        run_id = shelf.submit({**SPEC, "seed": seed})
        records.claim(run_id, 1, "x")
        accuracy = {"value": 0.865, "low": 0.858, "high": 0.872, "images": 10_000}
        records.finish(run_id, state, result={"accuracy": accuracy} if state == "done" else None, error=error)
    rows = opened("runs").dataframe[0].value.set_index("what")
    what = "recipe w8a8 on mobilenet-digits"
    assert rows.loc[what, ["outcome", "took"]].tolist() == ["86.5 % on 10,000 images", "46 min 05 s"]
    assert rows.loc[f"{what}, seed 1", ["outcome", "took"]].tolist() == ["failed: The disk is full.", ""]
    assert rows.loc[f"{what}, seed 2", ["outcome", "took"]].tolist() == ["cancelled", ""]
    for run, told in zip(shelf.runs(), table(shelf.runs())["created"], strict=True):
        assert abs(datetime.fromisoformat(told).timestamp() - run.created) < 1


def test_a_training_that_is_done_is_run_again_from_its_start(shelf: Store, opened: Callable[..., AppTest]) -> None:
    at = opened("runs", run=training(shelf, "done"))
    assert not {"Resume", "From the start"} & set(labels(at))
    press(at, "Run again")
    assert (newest(shelf).state, newest(shelf).parent, shelf.checkpoints(newest(shelf).id)) == ("queued", None, [])


def test_a_run_without_a_checkpoint_is_only_resumed(shelf: Store, opened: Callable[..., AppTest]) -> None:
    run_id = shelf.submit(SPEC)
    shelf.ask_pause(run_id)
    at = opened("runs", run=run_id)
    assert "Resume" in labels(at)
    assert "From the start" not in labels(at)
    assert not at.error


def test_a_training_at_work_can_be_paused_and_another_run_cannot(shelf: Store, opened: Callable[..., AppTest]) -> None:
    run_id = training(shelf)
    at = opened("runs")
    assert labels(at) == ["Pause", "Cancel"]
    press(at, "Pause")
    assert shelf.run(run_id).pause_asked
    assert labels(at) == ["Pausing …", "Cancel"]
    press(at, "Cancel")
    assert shelf.run(run_id).cancel_asked
    assert labels(at) == ["Pause", "Cancelling …"]
    Records(shelf.root).finish(run_id, "cancelled")
    shelf.submit(SPEC)
    assert "Pause" not in labels(opened("runs"))


def test_a_link_to_a_run_that_is_not_there_says_so(shelf: Store, opened: Callable[..., AppTest]) -> None:
    for home_has_runs in (False, True):
        if home_has_runs:
            training(shelf, "done")
        (told,) = [one.value for one in opened("runs", run="zz[z](x)").caption if "link" in one.value]
        assert "The link asks for the run `zz[z](x)`, which is not in this home" in told


def test_a_link_to_a_run_that_has_not_ended_says_where_it_stands(shelf: Store, opened: Callable[..., AppTest]) -> None:
    run_id = training(shelf)
    assert any(
        f"Run `{run_id}`" in one.value and "stands above" in one.value for one in opened("runs", run=run_id).caption
    )


def measured_runs(home: Path, count: int) -> list[str]:
    """Runs with an accuracy that have ended, the newest first, as the list has them."""
    ids = [shelve(home, {**SPEC, "seed": seed}, {"accuracy": accuracy(0.9)}) for seed in range(count)]
    return [run.id for run in Store().runs() if run.id in ids]


def test_runs_that_are_ticked_stand_in_the_address(shelf: Store, home: Path, opened: Callable[..., AppTest]) -> None:
    ids = measured_runs(home, 3)
    at = opened("runs", run=ids[0])
    for rows, key in (([0, 2], "runs"), ([1], "run")):
        at.session_state[at.dataframe[0].key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
        at.run()
        assert at.query_params[key] in ([",".join(ids[row] for row in rows)], ",".join(ids[row] for row in rows))
        assert {"run", "runs"} - set(at.query_params) == {"run", "runs"} - {key}


def test_a_link_to_a_comparison_of_runs_opens_it(shelf: Store, home: Path, opened: Callable[..., AppTest]) -> None:
    ids = measured_runs(home, 3)
    at = opened("runs", runs=f"{ids[0]},gone,{ids[2]}")
    assert len(at.get("plotly_chart")) == 1
    assert at.query_params["runs"] in ([f"{ids[0]},{ids[2]}"], f"{ids[0]},{ids[2]}")
    assert any("`gone`, which is not in this home" in one.value for one in at.caption)
    press(at, "Delete for good")
    assert [run.id for run in shelf.runs()] == [ids[1]]
    assert {"run", "runs"}.isdisjoint(at.query_params)


def test_a_run_that_is_deleted_here_is_not_missed_afterwards(shelf: Store, opened: Callable[..., AppTest]) -> None:
    at = opened("runs", run=training(shelf, "done"))
    assert "Delete" not in labels(at)  # it only opens what asks once more
    press(at, "Delete for good")
    assert not any("The link asks" in one.value for one in at.caption)
    assert "run" not in at.query_params


@pytest.mark.parametrize(
    ("state", "label"), [("paused", "Resume"), ("paused", "From the start"), ("done", "Run again")]
)
def test_a_run_that_was_deleted_elsewhere_meanwhile_is_told_and_the_list_stays(
    shelf: Store, opened: Callable[..., AppTest], state: str, label: str
) -> None:
    other, run_id = training(shelf, "done"), training(shelf, state)
    at = opened("runs", run=run_id)
    shelf.delete(run_id)
    press(at, label)
    assert [run.id for run in shelf.runs()] == [other]
    assert any(run_id in toast.value for toast in at.toast)


def test_a_run_that_scored_the_sites_is_drawn_and_leads_to_its_page(
    shelf: Store, home: Path, opened: Callable[..., AppTest]
) -> None:
    asked = {"kind": "sensitivity", "task": "resnet-digits", "recipe": "w8a8", "seed": 0, "metric": "hessian-trace"}
    table = profiles.load("resnet-digits").sensitivity
    table = table[table["metric"] == "fit"].assign(metric="hessian-trace")
    result = {"task": "resnet-digits", "metric": "hessian-trace", "images": 256, "sites": 24}
    run_id = shelve(home, asked, result, sensitivity_parquet=table)
    at = opened("runs", run=run_id)
    assert "**sensitivity by hessian-trace on resnet-digits** · 24 sites scored on 256 images" in words(at)
    assert len(at.get("vega_lite_chart")) == 1
    (link,) = [one.proto for one in at.get("page_link") if one.proto.label == "Open in Sensitivity"]
    assert "metric=hessian-trace" in link.query_string
    assert any("--metric hessian-trace" in code.value for code in at.code)
    assert any('qx.sensitivity(qx.Task("resnet-digits"), "hessian-trace"' in code.value for code in at.code)


def test_the_last_runs_of_home_lead_to_themselves(shelf: Store, opened: Callable[..., AppTest]) -> None:
    ids = [training(shelf, "done"), training(shelf)]
    found = {one.proto.query_string: one.proto.label for one in opened("home").get("page_link")}
    assert [f"run={run_id}" in found for run_id in ids] == [True, True]
    assert "under way" in found[f"run={ids[1]}"]


def test_a_run_that_was_cancelled_is_no_error(shelf: Store, home: Path, opened: Callable[..., AppTest]) -> None:
    run_id, told = training(shelf), "Cancelled; the worker did not stop by itself and was killed by signal 9."
    Records(shelf.root).finish(run_id, "cancelled", error=told)
    at = opened("runs", run=run_id)
    assert at.dataframe[0].value["outcome"].tolist() == ["cancelled"]
    assert [info.value for info in at.info] == [told]
    assert not at.error
