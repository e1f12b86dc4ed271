"""Progress is a line that is written over on a terminal, and a line now and then elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from qexplore.cli import progress as module
from qexplore.cli.progress import Pace, Progress
from qexplore.report import Report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that tells half a second more each time that it is asked."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(ticks) / 2)


def told(stream: io.StringIO, steps: int) -> str:
    with Progress(stream) as progress:
        list(Report(progress.show).track(range(steps), "measuring"))
    return stream.getvalue()


def test_quick_work_is_not_told():
    assert told(io.StringIO(), 1000) == ""


def test_long_work_is_told_now_and_then(clock):
    lines = told(io.StringIO(), 100).splitlines()
    assert 10 < len(lines) < 100
    assert all(re.fullmatch(r"measuring: \d+ of 100(, \d+ (s|min) left)?", line) for line in lines)


def test_a_terminal_is_left_clean(clock):
    text = told(Terminal(), 3)
    assert "measuring: 3 of 3" in text
    assert text.endswith("\r\x1b[K")
    assert "\n" not in text


def test_a_step_is_a_line_with_its_numbers():
    stream = io.StringIO()
    Progress(stream).show({"event": "step", "name": "fold-bn", "accuracy": 0.98123, "done": 1})
    assert stream.getvalue() == "fold-bn, accuracy 0.9812\n"


def test_the_time_left_is_that_of_the_phase_at_its_pace() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert pace.left(0, 10) == ""
    now[0] += 6
    assert pace.left(2, 10) == ", 24 s left"
    now[0] += 600
    assert pace.left(4, 10) == ", 15 min left"
    assert pace.left(10, 10) == ""
    assert pace.left(3, 10) == ""  # another phase: its pace is not known yet


def test_a_study_tells_the_time_left_though_each_trial_has_a_text_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(stream)
    for number in range(3):
        now[0] += 60
        progress.show({"event": "progress", "done": number, "total": 4, "text": f"LSQ, seed {number}"})
    assert stream.getvalue().splitlines()[-1] == "LSQ, seed 2: 2 of 4, 2 min left"
