"""Progress is a line that is written over on a terminal, and few lines elsewhere."""

from __future__ import annotations

import io

from qexplore.cli.progress import Progress
from qexplore.report import Report


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_loop_is_told_in_tenths_elsewhere():
    stream = io.StringIO()
    with Progress(stream) as progress:
        list(Report(progress.show).track(range(1000), "measuring"))
    assert len(stream.getvalue().splitlines()) == 10
    assert stream.getvalue().splitlines()[-1] == "measuring: 1000 of 1000"


def test_a_terminal_is_left_clean():
    stream = Terminal()
    with Progress(stream) as progress:
        list(Report(progress.show).track(range(3), "measuring"))
    assert stream.getvalue().endswith("\r\x1b[K")
    assert "\n" not in stream.getvalue()


def test_a_step_is_a_line_with_its_numbers():
    stream = io.StringIO()
    Progress(stream).show({"event": "step", "name": "fold-bn", "accuracy": 0.98123, "done": 1})
    assert stream.getvalue() == "fold-bn, accuracy 0.9812\n"
