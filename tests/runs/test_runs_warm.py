"""The warm bench answers, refuses, dies and comes back, and never takes a print for an answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.runs import Superseded, Warm, WarmDied, WarmSlow, warm_server
from qexplore.runs.process import identity
from tests.runs.conftest import HELPERS, eventually


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Warm]:
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    with Warm(module="warm_answers", log=tmp_path / "warm.log") as bench:
        yield bench


def test_one_process_answers_many_questions_quickly(warm: Warm) -> None:
    first = warm.ask({"say": "ä\ud800"})
    assert (first["said"], first["nice"]) == ("ä\ud800", min(3 + os.nice(0), 19))
    begin = time.monotonic()
    answers = [warm.ask({"say": number}) for number in range(100)]
    assert time.monotonic() - begin < 5.0
    assert [answer["said"] for answer in answers] == list(range(100))
    assert {answer["pid"] for answer in answers} == {first["pid"]} == {warm.pid}


def test_prints_of_python_libraries_and_children_are_no_answers(warm: Warm, tmp_path: Path) -> None:
    assert warm.ask({"do": "print"}) == {"said": "true"}
    assert "nor is a native one" in (tmp_path / "warm.log").read_text()


def test_a_refusal_keeps_its_words_and_a_failure_its_name(warm: Warm) -> None:
    with pytest.raises(QexploreError, match=r"^There is no site 'x'; known: stem\.$"):
        warm.ask({"do": "refuse"})
    with pytest.raises(RuntimeError, match=r"^The warm bench failed with ZeroDivisionError: nothing\.$"):
        warm.ask({"do": "fail"})
    with pytest.raises(RuntimeError, match="cannot be written as JSON"):
        warm.ask({"do": "odd"})
    assert warm.ask({"do": "nan"}) == {"said": None}
    assert warm.ask({"say": 1})["asked"] == 5  # all in the same process


def test_documents_larger_than_a_pipe_pass_both_ways(warm: Warm) -> None:
    size = 3_000_000
    assert len(warm.ask({"do": "large", "size": size})["said"]) == size
    assert len(warm.ask({"say": "y" * size})["said"]) == size


def test_its_death_is_a_message_and_the_next_question_a_restart(warm: Warm) -> None:
    first = warm.ask({})["pid"]
    with pytest.raises(WarmDied, match=r"^The warm bench was killed by signal 9, probably .*; ask again") as told:
        warm.ask({"do": "die"})
    assert "\n" not in str(told.value)
    assert warm.ask({})["pid"] != first


def test_a_death_between_two_questions_goes_unnoticed(warm: Warm) -> None:
    first = warm.ask({})["pid"]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: warm.pid is None)
    assert warm.ask({})["pid"] != first


def test_a_slow_answer_is_given_up_but_never_taken_for_the_next_one(warm: Warm) -> None:
    pid = warm.ask({})["pid"]
    with pytest.raises(WarmSlow, match=r"within 0\.2 s"):
        warm.ask({"do": "sleep", "seconds": 0.6}, timeout=0.2)
    with pytest.raises(WarmSlow):
        warm.ask({"say": "too early"}, timeout=0.1)
    answer = warm.ask({"say": "next"})
    assert (answer["said"], answer["pid"], answer["asked"]) == ("next", pid, 3)  # "too early" was never sent


def test_a_process_that_is_stuck_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    with Warm(module="warm_answers", patience=2.0) as bench:
        pid = bench.ask({})["pid"]
        with pytest.raises(WarmDied, match=r"ended after 2 s without an answer"):
            bench.ask({"do": "sleep", "seconds": 60})
        eventually(lambda: identity(pid) is None)
        assert bench.ask({})["pid"] != pid


def test_a_process_that_works_longer_than_the_patience_is_left_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    with Warm(module="warm_answers", patience=2.0) as bench:
        pid = bench.ask({})["pid"]
        with pytest.raises(WarmSlow):
            bench.ask({"do": "work", "seconds": 5.0}, timeout=0.5)
        time.sleep(2.5)  # nobody listens, and more is told than the last sign
        with pytest.raises(WarmSlow):
            bench.ask({}, timeout=0.5)
        answer = bench.ask({"say": "next"})
        assert (answer["said"], answer["pid"]) == ("next", pid)
        assert bench.ask({"do": "work", "seconds": 3.0})["pid"] == pid


def test_a_process_that_is_stuck_after_signs_of_life_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    with Warm(module="warm_answers", patience=2.0) as bench:
        pid = bench.ask({})["pid"]
        with pytest.raises(WarmDied, match="another sign of life"):
            bench.ask({"do": "work", "seconds": 1.0, "stuck": 60})
        eventually(lambda: identity(pid) is None)


def test_signs_of_life_that_nobody_reads_do_not_stop_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write = os.pipe()
    monkeypatch.setattr(warm_server, "SIGN_SECONDS", 0.0)
    with os.fdopen(read, encoding="utf-8") as listener, os.fdopen(write, "w", encoding="utf-8") as replies:
        report = Report(warm_server.Signs(replies))
        for step in range(20_000):
            report.progress(step, 20_000, "working")
        replies.close()
        assert set(listener) == {'{"alive": true}\n'}


def test_the_newest_question_of_one_asker_replaces_those_that_wait(warm: Warm) -> None:
    warm.ask({})

    def ask(number: int) -> object:
        try:
            return warm.ask({"say": number}, asker="me")["said"]
        except Superseded:
            return "superseded"

    with ThreadPoolExecutor(8) as pool:
        pool.submit(warm.ask, {"do": "sleep", "seconds": 0.7})
        time.sleep(0.2)
        waiting = []
        for number in range(4):
            waiting.append(pool.submit(ask, number))
            time.sleep(0.05)
        other = pool.submit(warm.ask, {"say": "another session"}, asker="you")
        assert [future.result() for future in waiting] == ["superseded"] * 3 + [3]
        assert other.result()["said"] == "another session"


def test_many_threads_each_get_their_own_answer(warm: Warm) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = pool.map(lambda number: warm.ask({"say": number}, asker=str(number))["said"], range(50))
        assert list(said) == list(range(50))


@pytest.mark.parametrize(("module", "why"), [("warm_broken", "no such luck"), ("warm_missing", "No module named")])
def test_a_bench_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, why: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    with Warm(module=module, log=tmp_path / "log") as bench:
        for _ in range(2):
            with pytest.raises(WarmDied, match=why):
                bench.ask({})


def test_it_ends_with_the_app_even_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    script = (
        "import threading, time; from qexplore.runs import Warm; bench = Warm(module='warm_answers')\n"
        "print(bench.ask({})['pid'], flush=True); bench.ask({'do': 'sleep', 'seconds': 60})"
    )
    path = os.pathsep.join([str(HELPERS), str(Path(__file__).parents[2])])
    app = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    pid = int(app.stdout.readline())
    app.kill()
    app.wait()
    app.stdout.close()
    eventually(lambda: identity(pid) is None, within=10)


def test_starting_early_does_not_wait(warm: Warm) -> None:
    begin = time.monotonic()
    warm.start()
    warm.start()
    assert time.monotonic() - begin < 1.0
    pid = warm.pid
    assert warm.ask({})["pid"] == pid
    warm.close()
    assert warm.pid is None
    assert threading.active_count() < 20
