"""The stream of a run's events is bounded and loses nothing that is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from qexplore.runs.errors import Cancelled
from qexplore.runs.progress import Progress
from qexplore.runs.reporter import Reporter
from qexplore.runs.training_log import TOLD
from tests.runs.conftest import eventually

Told = tuple[float, dict[str, Any]]
TELLS = ("step-started", *TOLD, "step")


class Shelf:
    """Takes what a reporter writes, with the moment of each writing; go_on: whether the run shall go on."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.events: list[Told] = []
        self.progress: Progress | None = None
        self.go_on = True

    def tell(self, run_id: str, events: Sequence[Told], progress: Progress | None) -> bool:
        self.moments.append(time.monotonic())
        self.events += events
        self.progress = progress
        return self.go_on

    def wanted(self, run_id: str) -> bool:
        return self.go_on

    def named(self, name: str) -> list[int]:
        return [event["at"] for _, event in self.events if event["event"] == name]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def report(shelf: Shelf) -> Reporter:
    return Reporter(shelf, "one")  # type: ignore[arg-type]


def test_all_that_is_told_is_written_at_most_5_times_a_second(shelf: Shelf, report: Reporter) -> None:
    begin, at = time.monotonic(), 0
    while time.monotonic() - begin < 1.5:
        at += 1
        for name in TELLS:
            report({"event": name, "at": at})
        report({"event": "progress", "done": at, "total": 10**6, "text": f"epoch {at // 10}"})
        time.sleep(0.001)
    seconds = time.monotonic() - begin
    report.flush()
    assert 3 <= len(shelf.moments) <= 2 + 5 * seconds
    for name in TELLS:
        if name != "training":
            assert shelf.named(name) == list(range(1, at + 1)), name
    losses = shelf.named("training")
    assert losses[-1] == at
    assert len(losses) <= len(shelf.moments)
    assert [moment for moment, _ in shelf.events] == sorted(moment for moment, _ in shelf.events)
    assert shelf.progress.done == at


def test_the_last_word_before_a_long_silence_is_written_without_another(shelf: Shelf, report: Reporter) -> None:
    report({"event": "allocation", "at": 1})
    report({"event": "allocation", "at": 2})
    report({"event": "progress", "done": 0, "total": 9, "text": "a long phase"})
    assert shelf.named("allocation") == [1]
    eventually(lambda: shelf.named("allocation") == [1, 2], within=2)
    assert shelf.progress.text == "a long phase"
    time.sleep(0.3)
    assert len(shelf.moments) == 2


def test_a_wish_to_stop_that_is_met_in_a_silence_is_told_at_the_next_event(shelf: Shelf, report: Reporter) -> None:
    report({"event": "epoch", "at": 1})
    shelf.go_on = False
    report({"event": "epoch", "at": 2})
    eventually(lambda: len(shelf.moments) == 2, within=2)
    with pytest.raises(Cancelled):
        report({"event": "training", "at": 3})
    report.flush()
    assert shelf.named("training") == [3]


def test_a_store_that_cannot_be_written_in_a_silence_loses_nothing(
    shelf: Shelf, report: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report({"event": "epoch", "at": 1})
    tries = []

    def broken(*told: object) -> bool:
        tries.append(told)
        raise OSError("the disk is full")

    monkeypatch.setattr(shelf, "tell", broken)
    report({"event": "epoch", "at": 2})
    eventually(lambda: bool(tries), within=2)
    time.sleep(0.25)
    with pytest.raises(OSError, match="the disk is full"):
        report({"event": "epoch", "at": 3})
    monkeypatch.undo()
    report.flush()
    assert shelf.named("epoch") == [1, 2, 3]
