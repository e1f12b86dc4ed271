"""A run that is paused or killed goes on where it was, and not from zero."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from qexplore.runs import ACTIVE, FINISHED, Store
from qexplore.runs.deaths import outcome
from qexplore.runs.records import Records
from qexplore.runs.supervisor import Watched
from qexplore.runs.workers import Adopted
from tests.runs.conftest import eventually, working

TRAIN = {"kind": "train", "n": 150, "every": 10, "pause": 0.01}


def at(store: Store, run_id: str, name: str) -> list[int]:
    return [event.event["at"] for event in store.events(run_id, names=[name])]


def test_a_killed_training_is_resumed_from_its_last_epoch(store: Store) -> None:
    run_id = store.submit(TRAIN)
    eventually(lambda: at(store, run_id, "epoch")[2:])
    os.kill(store.run(run_id).pid, signal.SIGKILL)
    eventually(lambda: store.run(run_id).state == "failed")
    kept = at(store, run_id, "epoch")[-1]
    child = store.resume(run_id)
    store.delete(run_id)
    run = store.wait(child, timeout=30)
    (begin,) = at(store, child, "training-started")
    assert kept <= begin <= kept + 10
    assert (run.state, run.result) == ("done", {"sum": 150 * 151 // 2})


def test_a_paused_training_goes_on_at_the_very_step(store: Store) -> None:
    run_id = store.submit(TRAIN)
    working(store, run_id, "epoch")
    begin = time.monotonic()
    store.ask_pause(run_id)
    run = store.wait(run_id, timeout=30, every=0.02)
    assert time.monotonic() - begin < 3.0
    assert (run.state, run.error, run.active) == ("paused", None, False)
    assert store.checkpoints(run_id) == ["0-train"]
    child = store.resume(run_id)
    again = store.wait(child, timeout=30)
    last = max(at(store, run_id, "training") + at(store, run_id, "epoch"))
    assert at(store, child, "training-started") == [last]
    assert again.result == {"sum": 150 * 151 // 2}
    assert [one.id for one in store.line(child)] == [run_id, child]


def test_a_training_that_is_cancelled_in_a_long_step_ends_after_it_and_keeps_its_checkpoint(store: Store) -> None:
    run_id = store.submit({**TRAIN, "pause": 2.5})
    working(store, run_id, "training")
    store.ask_cancel(run_id)
    run = store.wait(run_id, timeout=30, every=0.02)
    assert (run.state, run.error, store.checkpoints(run_id)) == ("cancelled", "Cancelled.", ["0-train"])


@pytest.mark.parametrize("wish", ["cancel_asked", "pause_asked"])
def test_the_time_to_stop_begins_with_the_wish_and_not_with_the_run(
    wish: str, shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shelf.run(shelf.submit(TRAIN))
    watched = Watched(run, Adopted(0, None))
    monkeypatch.setattr("qexplore.runs.supervisor.time.monotonic", lambda: 100.0)
    assert watched.overdue(run, 1.5) is None  # nobody has asked for anything yet
    monkeypatch.setattr("qexplore.runs.supervisor.time.monotonic", lambda: 200.0)
    asked = replace(run, **{wish: time.time() + 1000})
    assert watched.overdue(asked, 1.5) is None
    monkeypatch.setattr("qexplore.runs.supervisor.time.monotonic", lambda: 201.4)
    assert watched.overdue(asked, 1.5) is None
    monkeypatch.setattr("qexplore.runs.supervisor.time.monotonic", lambda: 201.6)
    assert watched.overdue(asked, 1.5) == 1.5


@pytest.mark.parametrize("patience", [4.0])
def test_a_stubborn_run_is_paused_after_some_patience_and_cancelled_under_3_seconds_meanwhile(store: Store) -> None:
    run_id = store.submit({"kind": "stubborn"})
    working(store, run_id)
    begin = time.monotonic()
    store.ask_pause(run_id)
    run = store.wait(run_id, timeout=30, every=0.02)
    assert 4.0 <= time.monotonic() - begin < 6.0
    assert run.state == "paused"
    assert run.error == "Paused; the worker did not stop by itself within 4 s and was killed by signal 9."
    again = store.submit({"kind": "stubborn"})
    working(store, again)
    store.ask_pause(again)
    time.sleep(0.5)
    begin = time.monotonic()
    store.ask_cancel(again)
    run = store.wait(again, timeout=30, every=0.02)
    assert 1.0 < time.monotonic() - begin < 3.0
    assert run.state == "cancelled"


def test_a_training_of_long_steps_is_paused_at_the_very_step(store: Store) -> None:
    run_id = store.submit({**TRAIN, "n": 12, "pause": 2.0})
    eventually(lambda: at(store, run_id, "training"))
    store.ask_pause(run_id)
    run = store.wait(run_id, timeout=30)
    assert (run.state, run.error) == ("paused", None)
    last = max(at(store, run_id, "training"))
    child = store.resume(run_id)
    eventually(lambda: at(store, child, "training-started"))
    assert at(store, child, "training-started") == [last]
    store.ask_cancel(child)
    store.wait(child, timeout=30)


def test_the_next_run_starts_when_one_is_paused(store: Store) -> None:
    first, second = store.submit({"kind": "count", "n": 500, "pause": 0.05}), store.submit({"kind": "count", "n": 1})
    working(store, first)
    store.ask_pause(first)
    assert store.wait(second, timeout=30).state == "done"
    assert store.run(first).state == "paused"


def test_a_run_that_waits_is_paused_at_once_and_resumed_from_its_start(shelf: Store) -> None:
    run_id = shelf.submit({"kind": "count"})
    run = shelf.ask_pause(run_id)
    assert (run.state, run.started, run.error) == ("paused", None, None)
    assert run.finished is not None
    assert shelf.runs(state=ACTIVE) == []
    assert shelf.runs(state=FINISHED) == [run]
    assert shelf.ask_cancel(run_id).state == "paused"
    child = shelf.run(shelf.resume(run_id))
    assert (child.state, child.parent, child.spec) == ("queued", run_id, run.spec)
    shelf.delete(run_id)


@pytest.mark.parametrize("wishes", [("ask_pause", "ask_cancel"), ("ask_cancel", "ask_pause")])
def test_the_wish_to_cancel_goes_before_the_wish_to_pause(shelf: Store, wishes: tuple[str, str]) -> None:
    run_id, records = shelf.submit({"kind": "count"}), Records(shelf.root)
    records.claim(run_id, 1, "x")
    for wish in wishes:
        getattr(shelf, wish)(run_id)
        assert not records.wanted(run_id)
        assert not records.tell(run_id, [], None)
    state, sentence = outcome(shelf.run(run_id), -9, shelf.root / "log.txt", None)
    assert state == "cancelled"
    assert sentence.startswith("Cancelled; the worker was killed by signal 9")


def test_a_run_that_has_ended_is_not_paused(shelf: Store) -> None:
    run_id = shelf.submit({"kind": "count"})
    Records(shelf.root).finish(run_id, "done")
    assert shelf.ask_pause(run_id).state == "done"


def test_live_events_reach_the_store_at_most_5_times_a_second_and_with_their_last_word(store: Store) -> None:
    run = store.wait(store.submit({"kind": "flood", "n": 30_000, "live": True}), timeout=30)
    live = [event for event in store.events(run.id) if event.name == "training"]
    told = [event.event["at"] for event in live]
    assert told[0] == 1
    assert told[-1] == 30_000
    assert told == sorted(told)
    assert len(told) <= 2 + 5 * (live[-1].time - live[0].time)
    assert at(store, run.id, "epoch") == list(range(100, 30_001, 100))
