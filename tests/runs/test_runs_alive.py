"""Runs from the queue to their end, with every process that can be killed killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from qexplore.places import store_roots
from qexplore.runs import HomeUnusable, RunActive, Store
from qexplore.runs.process import identity
from qexplore.runs.records import Records
from qexplore.runs.supervisor import Supervisor
from tests.runs.conftest import HELPERS, eventually, supervisors, working

SLOW = {"kind": "count", "n": 1000, "pause": 0.05}


def gone(pid: int) -> bool:
    return identity(pid) is None


def kill_supervisor(store: Store) -> None:
    (pid,) = supervisors(store)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: gone(pid))


def test_a_run_goes_from_the_queue_to_its_result_in_the_background(store: Store) -> None:
    begin = time.monotonic()
    run_id = store.submit({"kind": "count", "n": 3}, threads=2)
    assert time.monotonic() - begin < 1.0
    run = store.wait(run_id, timeout=30)
    assert (run.state, run.done, run.total, run.message, run.error) == ("done", 3, 3, "counting", None)
    assert run.result == {"counted": 3, "threads": "2", "nice": min(10 + os.nice(0), 19)}
    assert {file.name for file in store.folder(run_id).iterdir()} == {
        "spec.json",
        "roots.json",
        "log.txt",
        "counted.txt",
        "result.json",
    }
    events = store.events(run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.event["step"] for event in events if event.name == "step"] == [0, 1, 2]
    assert store.find({"n": 3.0, "kind": "count"}) == run


def test_runs_wait_their_turn_in_the_order_of_asking(store: Store) -> None:
    ids = [store.submit({"kind": "count", "n": 2, "seed": seed}) for seed in range(3)]
    runs = [store.wait(run_id, timeout=30) for run_id in ids]
    assert all(run.state == "done" for run in runs)
    for first, second in pairwise(runs):
        assert first.finished <= second.started
    assert [run.id for run in store.runs()] == ids[::-1]


def test_a_run_may_use_the_folders_of_whoever_asked_for_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (tmp_path / name for name in ("first", "second"))
    monkeypatch.setenv("QEXPLORE_DATA", str(first))  # and so of the supervisor
    store.submit({"kind": "count", "n": 20, "pause": 0.1})
    old = store.submit({"kind": "look", "of": "an earlier version"})
    (store.folder(old) / "roots.json").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QEXPLORE_DATA", f"second{os.pathsep}{first}")
    both = store.submit({"kind": "look"})
    monkeypatch.setenv("QEXPLORE_DATA", str(second))
    again = store.repeat(both)
    told = json.dumps(vars(store.run(again)))
    monkeypatch.delenv("QEXPLORE_DATA")
    none = store.submit({"kind": "look"})
    (tmp_path / "stored").mkdir()
    store_roots((tmp_path / "stored",))  # the setting counts as it is when the run begins
    ended = [store.wait(run_id, timeout=30) for run_id in (old, both, again, none)]
    found = [run.result["roots"] if run.result else run.error for run in ended]
    stored = str(tmp_path / "stored")
    assert found == [[str(first), stored], [str(second), str(first), stored], [str(second), stored], [stored]]
    assert str(tmp_path) not in told


def test_progress_is_thinned_but_keeps_its_last_word(store: Store) -> None:
    run = store.wait(store.submit({"kind": "flood", "n": 50_000}), timeout=30)
    told = [event.event["done"] for event in store.events(run.id)]
    assert told[0] == 1
    assert told[-1] == 50_000
    assert told == sorted(told)
    assert len(told) <= 2 + 5 * (run.seconds + 1)


def test_cancelling_a_run_that_reports_takes_well_under_3_seconds(store: Store) -> None:
    run_id = store.submit(SLOW)
    working(store, run_id)
    begin = time.monotonic()
    store.ask_cancel(run_id)
    run = store.wait(run_id, timeout=30, every=0.02)
    assert time.monotonic() - begin < 3.0
    assert (run.state, run.error) == ("cancelled", "Cancelled.")


def test_cancelling_a_stubborn_run_takes_under_3_seconds_and_leaves_no_child(store: Store) -> None:
    run_id = store.submit({"kind": "stubborn"})
    working(store, run_id)
    eventually(lambda: (store.folder(run_id) / "child.pid").exists())
    child = int((store.folder(run_id) / "child.pid").read_text())
    begin = time.monotonic()
    store.ask_cancel(run_id)
    run = store.wait(run_id, timeout=30, every=0.02)
    assert time.monotonic() - begin < 3.0
    assert run.state == "cancelled"
    assert "killed by signal 9" in run.error
    eventually(lambda: gone(child))


def test_a_method_that_swallows_exceptions_is_cancelled_all_the_same(store: Store) -> None:
    run_id = store.submit({"kind": "break", "how": "swallow"})
    working(store, run_id)
    store.ask_cancel(run_id)
    assert store.wait(run_id, timeout=30).error == "Cancelled."


def test_a_run_that_waits_is_cancelled_at_once(store: Store) -> None:
    first, second = store.submit(SLOW), store.submit({"kind": "count"})
    assert store.ask_cancel(second).state == "cancelled"
    store.ask_cancel(first)
    store.wait(first, timeout=30)
    assert store.run(second).started is None
    assert store.ask_cancel(second).error == "Cancelled before it began."


ENDS = {
    "words": "There is no task 'mars'; known: digits.",
    "bug": "The work failed with KeyError: 'missing\\nand more'; the traceback is in log.txt of the run.",
    "exit": "The work failed with SystemExit: 3; the traceback is in log.txt of the run.",
    "hard exit": "The worker ended with exit status 7; the last line of its log is: the last line.",
    "silent exit": "The worker ended without a result.",
    "segfault": "The worker was killed by signal 11 (SIGSEGV).",
    "set": "The work failed with TypeError: A set cannot be written as JSON; the traceback is in log.txt of the run.",
}


def test_every_end_of_a_worker_is_told_in_one_sentence(store: Store) -> None:
    ids = {how: store.submit({"kind": "break", "how": how}) for how in ENDS}
    for how, run_id in ids.items():
        run = store.wait(run_id, timeout=30)
        assert (run.state, run.error) == ("failed", ENDS[how])
        assert store.events(run.id)[-1].event == {"event": "step", "name": "last words"}
    assert "KeyError" in (store.folder(ids["bug"]) / "log.txt").read_text()
    assert "Traceback" not in (store.folder(ids["silent exit"]) / "log.txt").read_text()


def test_a_cap_on_memory_fails_the_run_with_words(store: Store) -> None:
    run = store.wait(store.submit({"kind": "break", "how": "memory"}, memory_mb=1024), timeout=30)
    assert run.error.startswith("The work failed with MemoryError")


def test_an_unknown_kind_is_named_with_its_neighbours(store: Store) -> None:
    run = store.wait(store.submit({"kind": "cuont"}), timeout=30)
    assert (run.state, run.error.split(";")[0]) == ("failed", "There is no kind of run 'cuont'")
    assert "'count'" in run.error


def test_a_job_may_file_a_longer_result_and_what_is_not_finite_becomes_null(store: Store) -> None:
    run = store.wait(store.submit({"kind": "file"}), timeout=30)
    assert run.result == {"long": False, "loss": None}
    assert (store.folder(run.id) / "result.json").read_text() == '{"long": true}'


def test_a_worker_killed_from_outside_is_named_within_5_seconds_and_its_events_stay(store: Store) -> None:
    run = working(store, store.submit(SLOW))
    told = store.events(run.id)
    os.kill(run.pid, signal.SIGKILL)
    took = eventually(lambda: store.run(run.id).state == "failed", within=5.0)
    assert took < 5.0
    assert "killed by signal 9" in store.run(run.id).error
    assert store.events(run.id)[: len(told)] == told
    resumed = store.run(store.resume(run.id))
    assert (resumed.parent, resumed.spec) == (run.id, run.spec)


def test_the_job_goes_on_under_a_new_supervisor_when_the_old_one_is_killed(store: Store) -> None:
    run = working(store, store.submit(SLOW))
    queued = store.submit({"kind": "count", "n": 1})
    before = len(store.events(run.id))
    kill_supervisor(store)
    again = store.run(run.id)  # to look is enough: it starts a supervisor
    assert (again.state, again.pid) == ("running", run.pid)
    eventually(lambda: len(store.events(run.id)) > before)
    eventually(lambda: len(supervisors(store)) == 1)
    begin = time.monotonic()
    store.ask_cancel(run.id)
    assert store.wait(run.id, timeout=30).state == "cancelled"
    assert time.monotonic() - begin < 3.0
    assert store.wait(queued, timeout=30).state == "done"


def test_an_adopted_stubborn_run_is_cancelled_too(store: Store) -> None:
    run = working(store, store.submit({"kind": "stubborn"}))
    kill_supervisor(store)
    begin = time.monotonic()
    store.ask_cancel(run.id)
    assert store.wait(run.id, timeout=30, every=0.02).state == "cancelled"
    assert time.monotonic() - begin < 3.0


def test_a_death_that_nobody_saw_is_true_at_the_first_look(store: Store) -> None:
    run = working(store, store.submit(SLOW))
    told = store.events(run.id)
    kill_supervisor(store)
    os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: gone(run.pid))
    found = store.run(run.id)
    assert found.state == "lost"
    assert "nobody saw it end" in found.error
    assert store.events(run.id)[: len(told)] == told
    assert not supervisors(store)


def test_an_adopted_worker_that_dies_is_lost_within_5_seconds(store: Store) -> None:
    run = working(store, store.submit(SLOW))
    kill_supervisor(store)
    store.run(run.id)
    os.kill(run.pid, signal.SIGKILL)
    eventually(lambda: store.run(run.id).state == "lost", within=5.0)


def test_an_adopted_worker_that_finishes_is_done(store: Store) -> None:
    run = working(store, store.submit({"kind": "count", "n": 20, "pause": 0.05}))
    kill_supervisor(store)
    assert store.wait(run.id, timeout=30).result["counted"] == 20


def test_the_run_goes_on_when_whoever_asked_for_it_is_killed(store: Store) -> None:
    script = (
        "import sys, time; from pathlib import Path; from qexplore.runs import LocalExecutor, Store\n"
        "root = Path(sys.argv[1]); store = Store(root, executor=LocalExecutor(root, modules=['runs_jobs'], idle=1))\n"
        "print(store.submit({'kind': 'count', 'n': 20, 'pause': 0.05}), flush=True); time.sleep(60)"
    )
    path = os.pathsep.join([str(HELPERS), str(Path(__file__).parents[2])])
    app = subprocess.Popen(
        [sys.executable, "-c", script, str(store.root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    run_id = app.stdout.readline().strip()
    os.killpg(app.pid, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    assert store.wait(run_id, timeout=30).state == "done"
    assert len([event for event in store.events(run_id) if event.name == "step"]) == 20


def test_nothing_is_lost_between_a_supervisor_that_leaves_and_a_run_that_comes(store: Store) -> None:
    store.wait(store.submit({"kind": "count", "n": 1}), timeout=30)
    for pause in (0.4, 0.45, 0.5, 0.55):  # about the moment in which the idle supervisor ends (after 0.5 s)
        time.sleep(pause)
        assert store.wait(store.submit({"kind": "count", "n": 1}), timeout=30).state == "done"
    eventually(lambda: not supervisors(store))


def test_many_lookers_start_one_supervisor(store: Store) -> None:
    run_id = store.submit(SLOW)
    for _ in range(50):
        store.run(run_id)
    working(store, run_id)
    assert len(supervisors(store)) == 1


def test_a_thread_that_a_library_left_behind_does_not_keep_the_next_run_waiting(store: Store) -> None:
    lingering = store.wait(store.submit({"kind": "break", "how": "linger"}), timeout=30)
    assert lingering.state == "done"
    assert store.wait(store.submit({"kind": "count", "n": 1}), timeout=30).state == "done"


def test_a_run_at_work_is_neither_deleted_nor_resumed(store: Store) -> None:
    run = working(store, store.submit(SLOW))
    with pytest.raises(RunActive, match=r"is running and cannot be deleted; cancel it first"):
        store.delete(run.id)
    with pytest.raises(RunActive, match="cannot be resumed"):
        store.resume(run.id)
    store.ask_cancel(run.id)
    store.wait(run.id, timeout=30)
    folder = store.folder(run.id)
    store.delete(run.id)
    assert not folder.exists()
    assert store.runs() == []


def test_the_time_left_is_told_while_a_run_works(store: Store) -> None:
    run_id = store.submit({"kind": "count", "n": 100, "pause": 0.05})
    eventually(lambda: store.run(run_id).done >= 10)
    run = store.run(run_id)
    assert 1.0 < run.seconds_left < 60.0
    assert 0.0 < run.fraction < 1.0
    assert run.quiet_seconds < 5.0


def test_a_death_is_told_later_where_the_disk_is_full_now(
    shelf: Store, local: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise HomeUnusable(shelf.root, "its disk is full")

    run_id = shelf.submit({"kind": "break", "how": "silent exit"})
    supervisor = Supervisor(shelf.root, ["runs_jobs"])
    supervisor.tick()
    with monkeypatch.context() as patch:
        patch.setattr(Records, "finish", full)
        with pytest.raises(HomeUnusable):  # noqa: PT012
            while True:
                supervisor.tick()
                time.sleep(0.02)
        assert supervisor.watching
        assert shelf.run(run_id).state == "running"
    supervisor.tick()
    assert shelf.run(run_id).error == "The worker ended without a result."
    assert not supervisor.tick()
