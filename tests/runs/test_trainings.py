"""What a run tells of its training becomes tables, also over a pause, and a recording keeps it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas as pd
import pytest

from qexplore.errors import QexploreError
from qexplore.runs import Run, Store
from qexplore.runs.recordings import MOST, Recording, log_of, record, recordings
from qexplore.runs.records import Records
from qexplore.runs.training_log import Log
from qexplore.runs.trainings import Training
from tests.trainings import PER_EPOCH, Event, recipe_events, row, training_events


def log(events: list[Event]) -> Log:
    return Log().extend(enumerate(events, 1))


def training(events: list[Event]) -> Training:
    return Training.of(log(events))


def told(shelf: Store, events: list[Event], *, state: str = "done", parent: str | None = None) -> str:
    """A run that has told these events and ended."""
    run = shelf.submit({"kind": "recipe", "task": "resnet-digits", "recipe": "qat-w3a3", "seed": 0}, parent=parent)
    records = Records(shelf.root)
    records.claim(run, 1, "then")
    records.tell(run, [(time.time(), event) for event in events], None)
    records.finish(run, state, result={} if state == "done" else None)
    return run


def test_before_is_the_row_of_the_step_before_and_after_the_last_row() -> None:
    found = training(recipe_events("qat", before=0.71, after=0.95, fp32=0.986))
    assert [found.fp32["accuracy"], found.before["accuracy"], found.after["accuracy"]] == [0.986, 0.71, 0.95]


def test_nothing_is_after_while_training_goes_on() -> None:
    found = training(recipe_events("qat", done=2, after=None))
    assert found.after is None
    assert found.latest["epoch"] == 2
    assert not found.now.ended
    assert (found.done, found.epochs) == (2, 6)


def test_epochs_of_a_second_stage_follow_those_of_the_first() -> None:
    found = training(
        [row("fp32", 0.98), *training_events("prune", 0, epochs=3), row("prune", 0.97), *training_events("qat", 1)]
    )
    assert (found.done, found.epochs) == (9, 9)
    assert found.marks["epoch"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert found.parts.to_dict("list") == {"epoch": [0.0, 3.0], "step": ["prune", "qat W4A4"]}
    assert found.main.step == "qat"
    assert found.before["accuracy"] == 0.97


def test_a_budget_is_kept_where_every_cost_is_within_its_limit() -> None:
    stage = training(recipe_events("qbitopt", budget={"weight_bits": 2.95})).now
    assert [one.kept for one in stage.allocations] == [True, True, True, True, False, False, False]
    assert stage.limits["cost"].tolist() == pytest.approx([2.9 + 0.1 * i / 6 for i in range(7)])


def test_images_that_change_sides_by_chance_have_a_large_p() -> None:
    events = recipe_events("qat")
    events[-1] |= {"gained": 2, "lost": 2}
    assert training(events).p == 1.0
    events[-1] |= {"gained": 20, "lost": 0}
    assert training(events).p == pytest.approx(2 * 0.5**20)


def test_images_of_masks_are_no_successes_and_failures_of_a_binomial_test() -> None:
    events = recipe_events("qat")
    steps = [event | {"metric": "miou"} if event["event"] == "step" else event for event in events]
    steps[-1] |= {"gained": 20, "lost": 0}
    assert training(steps).p is None


@pytest.mark.parametrize("retold", ["nothing", "all", "few losses"])
def test_a_resumed_training_tells_with_its_predecessor_what_one_without_a_pause_tells(retold: str) -> None:
    whole = recipe_events("qbitopt", seed=1)
    cut = 3 * PER_EPOCH

    def until(event: Event) -> bool:
        return event["event"] == "step" or event.get("at", 0) <= cut

    first = [event for event in whole[:-1] if until(event) and event["event"] != "training-ended"]
    rest = [event for event in whole if event["event"] in ("step", "training-ended") or event.get("at", 0) > cut]
    started = next({**event, "at": cut} for event in whole if event["event"] == "training-started")
    again = [event for event in first if event.get("at", 0) and event["event"] != "training-started"]
    if retold == "few losses":  # of live events that come all at once the first and the last are written
        losses = [event for event in again if event["event"] == "training"]
        again = [event for event in again if event not in losses[1:-1]]
    again = [] if retold == "nothing" else again
    at = rest.index(next(event for event in rest if event.get("at")))
    joined = log([*rest[:at], started, *again, *rest[at:]]).after(log(first))
    made, expected = Training.of(joined), training(whole)
    pd.testing.assert_frame_equal(made.losses, expected.losses)
    pd.testing.assert_frame_equal(made.marks, expected.marks)
    assert made.now.allocations == expected.now.allocations
    assert made.now.weights("head.weight") == expected.now.weights("head.weight")
    assert made.steps == expected.steps


def test_a_log_read_in_pieces_is_the_log_read_at_once() -> None:
    events = list(enumerate(recipe_events("qbitopt"), 1))
    pieces = Log()
    for begin in range(0, len(events), 7):
        pieces.extend(events[begin : begin + 7])
    assert pieces == Log().extend(events)


def test_a_repeated_run_does_not_show_the_training_of_the_one_before(shelf: Store) -> None:
    first = told(shelf, recipe_events("qat"))
    again = told(shelf, recipe_events("qat", done=1, after=None), state="cancelled", parent=first)
    assert len(Training.of(log_of(shelf, shelf.run(again))).marks) == 1


def test_a_recording_of_a_resumed_training_took_as_long_as_all_its_runs(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 40.0))
    first = told(shelf, recipe_events("qat", done=2, after=None), state="paused")
    rest = recipe_events("qat", at=2 * PER_EPOCH)
    kept = record(shelf, told(shelf, rest, parent=first), tmp_path / "resnet-digits" / "qat")
    assert kept.header["seconds"] == 80.0


def test_a_recording_keeps_what_is_drawn(shelf: Store, tmp_path: Path) -> None:
    events = recipe_events("qbitopt", epochs=40, every=1)
    kept = record(shelf, told(shelf, events), tmp_path / "resnet-digits" / "qbitopt-3")
    read = Training.of(recordings("resnet-digits", tmp_path)[0].log())
    expected = training(events)
    assert read.after["accuracy"] == expected.after["accuracy"]
    assert read.now.ended
    assert [one.bits for one in read.now.allocations] == [one.bits for one in expected.now.allocations]
    assert len(read.losses) == MOST["training"] < len(expected.losses)
    assert read.losses["at"].iloc[[0, -1]].tolist() == expected.losses["at"].iloc[[0, -1]].tolist()
    assert sum(file.stat().st_size for file in kept.folder.iterdir()) < 100_000
    assert kept.header["command"] == "qexplore run qat-w3a3 --task resnet-digits --seed 0"


def test_what_has_not_come_to_its_end_is_not_recorded(shelf: Store, tmp_path: Path) -> None:
    run = told(shelf, recipe_events("qat", done=2, after=None), state="failed")
    with pytest.raises(QexploreError, match="no training that has come to its end; it is failed"):
        record(shelf, run, tmp_path / "one")


def test_a_recording_of_another_format_says_so(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(QexploreError, match="has the format 99"):
        Recording.read(tmp_path)


@pytest.mark.parametrize("task", ["resnet-digits", "mobilenet-digits"])
def test_the_recordings_that_ship_gain_much_and_keep_their_budget(task: str) -> None:
    found = {one.name: Training.of(one.log()) for one in recordings(task)}
    assert set(found) == {"qat-w3a3", "qbitopt-3"}
    for made in found.values():
        assert made.after["accuracy"] > made.before["accuracy"]
        assert made.p < 0.001
    allocations = found["qbitopt-3"].now.allocations
    assert len(allocations) > 10
    assert all(one.kept for one in allocations)


def test_without_a_paired_test_a_change_within_the_interval_is_noise() -> None:
    stages = [*training_events("prune", 0), row("prune", 0.97), *training_events("qat", 1), row("qat", 0.96)]
    found = training([row("fp32", 0.98), *stages, *training_events("qat", 2), row("qat", 0.975)])
    assert found.p is None
    assert found.noise
    assert found.zeros == pytest.approx(0.3)
    assert not training([row("fp32", 0.98), *stages, *training_events("qat", 2), row("qat", 0.92)]).noise


@pytest.mark.parametrize(("bits", "title"), [({"head.weight": 2}, "qat"), ({}, "qat W4A4")])
def test_a_stage_is_called_by_its_bits_where_all_are_the_same(bits: dict[str, int], title: str) -> None:
    events = training_events("qat", 0)
    events[0]["bits"] |= bits
    assert training(events).now.title == title
