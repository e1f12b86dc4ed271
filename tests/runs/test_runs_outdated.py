"""A run asked for before its task was removed and added anew is of another network: nobody takes it for this one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from qexplore.runs import Store, worker
from qexplore.runs.errors import RunOutdated
from qexplore.runs.records import Records
from tests.pages.owned import added_again, own_task

SPEC = {"kind": "recipe", "task": "mine", "recipe": "qat-w3a3", "seed": 0}


def test_a_result_of_the_task_before_is_not_found(shelf: Store, home: Path) -> None:
    own_task(home, "mine")
    first = shelf.submit(SPEC)
    Records(shelf.root).finish(first, "done", result={})
    assert shelf.find(SPEC).id == first
    added_again(home, "mine")
    assert shelf.find(SPEC) is None
    assert shelf.run(first).outdated
    second = shelf.submit(SPEC)
    Records(shelf.root).finish(second, "done", result={})
    assert shelf.find(SPEC).id == second


def test_a_run_of_the_zoo_or_of_no_task_is_never_outdated(shelf: Store) -> None:
    for task in ("resnet-digits", "gone", None):
        assert not shelf.run(shelf.submit({**SPEC, "task": task})).outdated


def test_a_training_of_the_task_before_is_not_resumed_but_may_be_repeated(shelf: Store, home: Path) -> None:
    own_task(home, "mine")
    first = shelf.submit(SPEC)
    Records(shelf.root).finish(first, "paused")
    added_again(home, "mine")
    with pytest.raises(RunOutdated, match="'mine' was removed and added anew since it was asked for; repeat it"):
        shelf.resume(first)
    assert len(shelf.runs()) == 1
    assert not shelf.run(shelf.repeat(first)).outdated


def test_a_run_that_waited_while_its_task_was_replaced_does_not_begin(shelf: Store, home: Path) -> None:
    own_task(home, "mine")
    waiting = shelf.submit(SPEC)
    added_again(home, "mine")
    worker.work(Records(shelf.root), waiting, [])
    run = shelf.run(waiting)
    assert run.state == "failed"
    assert run.error == str(RunOutdated(run.id, "mine", "begun"))
