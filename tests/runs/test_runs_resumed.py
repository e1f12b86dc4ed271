"""Which run went on from which: none is trained twice by mistake, and the whole line counts as one training."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qexplore.runs import RunCarriedOn, Store
from qexplore.runs.errors import RunDone
from qexplore.runs.inheritance import inherit, went_beyond
from qexplore.runs.records import Records

SPEC = {"kind": "recipe", "task": "resnet-digits", "recipe": "qat-w3a3", "seed": 0}
EARLY = ["paused", "cancelled", "failed", "lost"]


def learn(store: Store, run_id: str, text: str) -> None:
    """A checkpoint of the run, in place of one that it may have taken over."""
    folder = store.folder(run_id) / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / ".draft").write_text(text, encoding="utf-8")
    (folder / ".draft").replace(folder / "3-qat.safetensors")


def end(store: Store, run_id: str, state: str) -> str:
    Records(store.root).finish(run_id, state, result={} if state == "done" else None)
    return run_id


def resumed(store: Store, state: str) -> tuple[str, str]:
    """A run that ended in `state` with a checkpoint, and the one that carries it on, which waits."""
    first = store.submit(SPEC)
    learn(store, first, "three epochs")
    return first, store.resume(end(store, first, state))


@pytest.mark.parametrize("state", EARLY)
def test_a_run_that_was_resumed_is_refused_a_second_time_in_one_sentence(shelf: Store, state: str) -> None:
    first, second = resumed(shelf, state)
    assert shelf.successor(first).id == second
    with pytest.raises(RunCarriedOn, match=re.escape(f"run {second} went on from it and is queued; wait for its end")):
        shelf.resume(first)
    assert len(shelf.runs()) == 2
    end(shelf, second, "done")
    with pytest.raises(RunCarriedOn, match=f"run {second} went on from it and is done; look at that one"):
        shelf.resume(first)


def test_of_two_that_resume_a_run_at_the_same_moment_one_is_refused(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shelf.submit(SPEC)
    learn(shelf, first, "three epochs")
    end(shelf, first, "paused")
    insert = Records.insert

    def late(records: Records, *options: Any) -> None:
        time.sleep(0.2)  # in which the other would find no successor
        insert(records, *options)

    monkeypatch.setattr(Records, "insert", late)

    def resume(_: int) -> str:
        try:
            return shelf.resume(first)
        except RunCarriedOn:
            return "refused"

    with ThreadPoolExecutor(2) as both:
        told = sorted(both.map(resume, range(2)))
    assert told == [shelf.successor(first).id, "refused"]


@pytest.mark.parametrize("state", EARLY)
def test_a_successor_that_ended_before_it_got_further_does_not_count(shelf: Store, state: str) -> None:
    first, second = resumed(shelf, "paused")
    end(shelf, second, state)
    assert shelf.successor(first) is None
    third = shelf.resume(first)
    assert shelf.run(third).parent == first


@pytest.mark.parametrize("state", EARLY)
def test_a_successor_that_ended_early_but_got_further_is_the_one_to_resume(shelf: Store, state: str) -> None:
    first, second = resumed(shelf, "paused")
    learn(shelf, second, "five epochs")
    end(shelf, second, state)
    with pytest.raises(RunCarriedOn, match=f"run {second} went on from it and is {state}; resume that one"):
        shelf.resume(first)
    assert shelf.run(shelf.resume(second)).parent == second


def test_the_successor_is_the_one_that_has_come_furthest(shelf: Store) -> None:
    first, second = resumed(shelf, "paused")
    third = shelf.resume(end(shelf, second, "cancelled"))  # the second learned nothing, the third is at work
    assert shelf.successor(first).id == shelf.successor(second).id == third
    learn(shelf, third, "five epochs")
    fourth = shelf.resume(end(shelf, third, "paused"))
    assert shelf.successor(first).id == fourth
    end(shelf, fourth, "cancelled")  # back to what the third has learned
    assert shelf.successor(first).id == third
    assert shelf.successor(third) is shelf.successor(fourth) is None


def test_a_run_whose_successor_was_deleted_may_be_resumed_again(shelf: Store) -> None:
    first, second = resumed(shelf, "paused")
    shelf.delete(end(shelf, second, "done"))
    assert shelf.successor(first) is None
    assert shelf.run(shelf.resume(first)).parent == first


def test_what_is_done_is_not_resumed_but_repeated_as_often_as_one_likes(shelf: Store) -> None:
    done = end(shelf, shelf.submit(SPEC), "done")
    with pytest.raises(RunDone, match=f"^Run {done} is done and has nothing left to resume: repeat it"):
        shelf.resume(done)
    first, second = shelf.repeat(done), shelf.repeat(done)
    assert shelf.successor(done) is None
    assert [[one.id for one in shelf.line(each)] for each in (first, second)] == [[first], [second]]


def test_a_copied_checkpoint_is_no_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, child = tmp_path / "parent", tmp_path / "child"
    (parent / "checkpoints").mkdir(parents=True)
    child.mkdir()
    (parent / "checkpoints" / "3-qat.safetensors").write_text("three epochs", encoding="utf-8")

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    inherit(parent, child)
    assert not went_beyond(parent, child)
    (child / "checkpoints" / "4-qat.safetensors").write_text("another step", encoding="utf-8")
    assert went_beyond(parent, child)


def test_the_seconds_of_a_resumed_training_are_those_of_all_its_runs(shelf: Store) -> None:
    first = shelf.submit(SPEC)
    assert shelf.seconds(first) is None
    records = Records(shelf.root)
    records.claim(first, 1, "x")
    learn(shelf, first, "three epochs")
    second = shelf.resume(end(shelf, first, "paused"))
    assert shelf.seconds(second) == shelf.run(first).seconds > 0
    records.claim(second, 1, "x")
    end(shelf, second, "done")
    assert shelf.seconds(second) == shelf.run(first).seconds + shelf.run(second).seconds
    assert shelf.seconds(first) == shelf.run(first).seconds
    again = shelf.repeat(second)
    records.claim(again, 1, "x")
    end(shelf, again, "done")
    assert shelf.seconds(again) == shelf.run(again).seconds
