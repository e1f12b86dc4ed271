"""What the store keeps, finds and refuses; no process is started here."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qexplore.errors import QexploreError, UnknownName
from qexplore.registry import Registry
from qexplore.runs import ACTIVE, HomeUnusable, RunActive, Store, StoreTooNew, UnknownRun, schema, worker
from qexplore.runs.records import Progress, Records
from tests.executors import Idle

SPEC = {"kind": "recipe", "task": "mobilenet-digits", "recipe": "w8a8", "seed": 0}


def finished(store: Store, spec: dict, state: str = "done") -> str:
    """A run that ended, without anybody having worked on it."""
    run_id = store.submit(spec)
    Records(store.root).claim(run_id, 1, "never")
    Records(store.root).finish(run_id, state, result={"accuracy": 0.5})
    return run_id


@contextmanager
def no_larger_than(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """`folder` may be read but not written, for root too."""
    folder.chmod(0o555)
    for parent in (folder, *folder.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_cap_on_memory_that_the_system_does_not_take_stops_no_run(
    shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")  # macOS

    kinds: Registry[Any] = Registry("kind of run")
    kinds.register("nothing")(lambda spec, report, folder: {"done": True})
    monkeypatch.setattr(worker.jobs, "JOBS", kinds)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    run = shelf.submit({"kind": "nothing"}, memory_mb=4000)
    worker.work(Records(shelf.root), run, [])
    assert (shelf.run(run).state, shelf.run(run).error) == ("done", None)


def test_a_queued_run_holds_what_was_asked(shelf: Store) -> None:
    run = shelf.run(shelf.submit(SPEC, memory_mb=4000))
    assert (run.state, run.kind, run.task, run.spec) == ("queued", "recipe", "mobilenet-digits", SPEC)
    assert (run.threads, run.memory_mb, run.seconds, run.seconds_left, run.fraction) == (1, 4000, None, None, 0.0)
    assert json.loads((shelf.folder(run.id) / "spec.json").read_text()) == SPEC
    assert run.active


def test_the_home_is_where_the_variable_says(home: Path) -> None:
    assert Store(executor=Idle()).root == home


def test_a_finished_run_of_the_same_spec_is_found_whatever_the_order_of_its_keys(shelf: Store) -> None:
    assert shelf.find(SPEC) is None
    run_id = finished(shelf, SPEC)
    shuffled = dict(reversed(SPEC.items())) | {"seed": 0.0}
    assert shelf.find(shuffled).id == run_id
    assert shelf.find(SPEC | {"seed": 1}) is None
    assert shelf.find(SPEC, state=ACTIVE) is None


def test_a_result_of_another_engine_version_is_not_found(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(shelf, SPEC)
    monkeypatch.setattr("qexplore.__version__", "9.9")
    assert shelf.find(SPEC) is None


def test_runs_are_listed_newest_first_and_by_state(shelf: Store) -> None:
    done = finished(shelf, SPEC)
    failed = finished(shelf, SPEC, "failed")
    queued = shelf.submit(SPEC)
    assert [run.id for run in shelf.runs()] == [queued, failed, done]
    assert [run.id for run in shelf.runs(limit=1)] == [queued]
    assert [run.id for run in shelf.runs(state=("done", "failed"))] == [failed, done]
    with pytest.raises(UnknownName, match="'finished'"):
        shelf.runs(state="finished")


@pytest.mark.parametrize(
    "run_id", ["../x", "..", "", "a/b", "/etc", "nul\0", "x" * 10_000, "'; DROP TABLE run", 7, None]
)
@pytest.mark.parametrize("verb", ["run", "events", "folder", "ask_cancel", "ask_pause", "resume", "delete"])
def test_a_hostile_or_unknown_id_is_refused_by_every_verb(shelf: Store, verb: str, run_id: object) -> None:
    known = shelf.submit(SPEC)
    with pytest.raises(UnknownRun, match=known) as told:
        getattr(shelf, verb)(run_id)
    assert len(str(told.value)) < 200


@pytest.mark.parametrize(
    "spec",
    [None, [], {}, {"kind": ""}, {"kind": 3}, {"kind": "a", "x": float("nan")}, {"kind": "a", "x": {1, 2}}],
)
def test_a_spec_that_is_no_json_is_refused_in_one_sentence(shelf: Store, spec: object) -> None:
    with pytest.raises(QexploreError) as told:
        shelf.submit(spec)
    assert "\n" not in str(told.value)
    assert shelf.runs() == []


def test_a_spec_that_contains_itself_is_refused(shelf: Store) -> None:
    spec: dict = {"kind": "a"}
    spec["self"] = spec
    with pytest.raises(QexploreError, match="not plain JSON"):
        shelf.submit(spec)


def test_a_run_needs_a_thread(shelf: Store) -> None:
    with pytest.raises(QexploreError, match="at least one thread"):
        shelf.submit(SPEC, threads=0)


def test_a_resumed_run_knows_its_parent_even_when_that_is_deleted(shelf: Store) -> None:
    parent = finished(shelf, SPEC, "failed")
    child = shelf.resume(parent)
    assert shelf.run(child).parent == parent
    shelf.delete(parent)
    assert shelf.run(child).parent is None
    with pytest.raises(UnknownRun):
        shelf.run(parent)


def test_a_queued_run_is_cancelled_and_only_then_deleted(shelf: Store) -> None:
    run_id = shelf.submit(SPEC)
    with pytest.raises(RunActive, match="is queued and cannot be deleted"):
        shelf.delete(run_id)
    assert shelf.ask_cancel(run_id).state == "cancelled"
    shelf.delete(run_id)
    assert not (shelf.root / "runs" / run_id).exists()


def test_only_the_first_to_end_a_run_decides(shelf: Store) -> None:
    run_id = finished(shelf, SPEC)
    records = Records(shelf.root)
    assert not records.finish(run_id, "failed", error="too late")
    assert not records.claim(run_id, 2, "later")
    assert not records.tell(run_id, [(0.0, {"event": "late"})], None)
    assert shelf.run(run_id).state == "done"
    assert shelf.events(run_id) == []


def test_a_run_is_claimed_once_and_ended_by_its_own_process(shelf: Store) -> None:
    run_id, records = shelf.submit(SPEC), Records(shelf.root)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda pid: records.claim(run_id, pid, "x"), range(2, 10))) == 1
    owner = shelf.run(run_id).pid
    assert not records.finish(run_id, "failed", pid=owner + 1)
    assert records.finish(run_id, "done", pid=owner)


def test_events_told_at_once_by_many_are_numbered_without_gap_or_loss(shelf: Store) -> None:
    run_id, records = shelf.submit(SPEC), Records(shelf.root)
    records.claim(run_id, 1, "x")

    def tell(who: int) -> None:
        for step in range(25):
            records.tell(run_id, [(float(step), {"event": "step", "who": who, "step": step})], None)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(tell, range(6)))
    events = shelf.events(run_id)
    assert [event.seq for event in events] == list(range(1, 151))
    for who in range(6):
        assert [event.event["step"] for event in events if event.event["who"] == who] == list(range(25))
    assert shelf.events(run_id, after=148) == events[148:]
    assert shelf.events(run_id, after=10, limit=5) == events[10:15]


def test_the_time_left_follows_the_pace_of_the_phase(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, records = shelf.submit(SPEC), Records(shelf.root)
    records.claim(run_id, 1, "x")
    records.tell(run_id, [], Progress(30, 100, "training", phase_started=1000.0, phase_done=10, time=1040.0))
    run = shelf.run(run_id)
    monkeypatch.setattr("qexplore.runs.run.time.time", lambda: 1050.0)
    assert run.seconds_left == pytest.approx(2.0 * 70 - 10)
    assert replace(run, done=10).seconds_left is None
    assert replace(run, state="done").seconds_left is None
    assert replace(run, progressed=None).seconds_left is None


def test_a_store_written_by_a_newer_version_is_left_alone(shelf: Store) -> None:
    run_id = shelf.submit(SPEC)
    with sqlite3.connect(shelf.root / "qexplore.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for verb in (lambda: shelf.run(run_id), lambda: shelf.submit(SPEC), shelf.runs):
        with pytest.raises(StoreTooNew, match=r"newer qexplore \(its format is 99.*update qexplore"):
            verb()


def test_an_older_store_is_brought_up_to_date_and_keeps_its_runs(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = shelf.submit(SPEC)
    later = (*schema.MIGRATIONS, ("ALTER TABLE run ADD COLUMN note TEXT NOT NULL DEFAULT 'none'",))
    monkeypatch.setattr(schema, "MIGRATIONS", later)
    with ThreadPoolExecutor(8) as pool:
        assert {run.id for runs in pool.map(lambda _: shelf.runs(), range(16)) for run in runs} == {run_id}
    assert sqlite3.connect(shelf.root / "qexplore.db").execute("SELECT note FROM run").fetchall() == [("none",)]


OLD = (
    "INSERT INTO run (id, kind, task, spec, hash, engine, parent, threads, memory_mb, state, created, started, "
    "finished, done, total, message, phase_started, phase_done, progressed, beat, cancel_asked, pid, pid_start, error, "
    "result) VALUES (?, 'recipe', 'digits', '{\"kind\": \"recipe\"}', 'h', '0.1', ?, 2, 512, ?, 1.5, 2.5, 3.5, 4, 5, "
    "'m', 6.5, 7, 8.5, 9.5, 10.5, 11, 'b:12', 'e', '{\"x\": 1}')"
)


def test_a_home_of_the_first_format_keeps_every_run_and_every_event(home: Path) -> None:
    connection = sqlite3.connect(home / "qexplore.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    for statement in schema.MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")
    states = ("done", "failed", "cancelled", "lost", "done")
    for number, state in enumerate(states):
        connection.execute(OLD, (f"r{9 - number}", f"r{10 - number}" if number else None, state))
    connection.execute("DELETE FROM run WHERE id = 'r7'")  # a gap in the order
    kept = connection.execute("SELECT * FROM run ORDER BY rowid").fetchall()
    events = [
        ("r9", seq, seq / 2, json.dumps(event))
        for seq, event in enumerate([{"event": "step", "name": "fp32"}, {"event": "ä\ud800"}, {}], 1)
    ]
    connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", events)
    connection.commit()
    connection.close()

    shelf = Store(home, executor=Idle())
    assert [run.id for run in shelf.runs()] == ["r5", "r6", "r8", "r9"]
    for run, row in zip(reversed(shelf.runs()), kept):
        values = {**vars(run), "spec": json.dumps(run.spec), "result": json.dumps(run.result)}
        assert values.pop("pause_asked") is None
        assert tuple(values.values()) == row
    assert [(e.seq, e.time, e.event) for e in shelf.events("r9")] == [(s, t, json.loads(p)) for _, s, t, p in events]
    assert [event.seq for event in shelf.events("r9", names=["step"])] == [1]
    assert [event.seq for event in shelf.events("r9", names=[""])] == [3]
    assert shelf.ask_pause(shelf.submit(SPEC)).state == "paused"
    shelf.delete("r9")  # its events go with it, and its child forgets it
    assert shelf.run("r8").parent is None
    connection = sqlite3.connect(home / "qexplore.db")
    assert connection.execute("SELECT count(*) FROM event").fetchone() == (0,)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_events_are_read_by_their_names_in_the_order_of_their_numbers(shelf: Store) -> None:
    run_id, records = shelf.submit(SPEC), Records(shelf.root)
    records.claim(run_id, 1, "x")
    events = [(float(i), {"event": ("training", "epoch", "weights")[i % 3], "at": i}) for i in range(30)]
    records.tell(run_id, events, None)
    told = [(e.seq - 1, e.event["at"]) for e in shelf.events(run_id, names=("epoch", "weights"), after=10, limit=4)]
    assert told == [(10, 10), (11, 11), (13, 13), (14, 14)]
    assert shelf.events(run_id, names=[]) == []
    assert shelf.events(run_id, names=["nothing"]) == []


def test_a_migration_that_fails_changes_nothing(shelf: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = shelf.submit(SPEC)
    with monkeypatch.context() as patch:
        broken = ("ALTER TABLE run ADD COLUMN note TEXT", "SELECT nonsense FROM nowhere")
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(HomeUnusable, match="nowhere"):
            shelf.run(run_id)
    assert shelf.run(run_id).id == run_id


def test_many_processes_may_open_a_new_home_at_once(home: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from qexplore.runs.records import Records\n"
        "Records(Path(sys.argv[1])).insert(sys.argv[3], {'kind': 'a'}, {'engine': '0', 'threads': 1})"
    )
    root = str(Path(__file__).parents[2])
    openers = [subprocess.Popen([sys.executable, "-c", script, str(home), root, f"r{i}"]) for i in range(6)]
    assert [opener.wait() for opener in openers] == [0] * 6
    assert len(Store(home, executor=Idle()).runs()) == 6


def test_a_full_disk_is_one_sentence_and_keeps_what_was_stored(shelf: Store) -> None:
    kept = [shelf.submit(SPEC)]
    with no_larger_than(200_000), pytest.raises(HomeUnusable, match="disk is full") as told:
        kept.extend(shelf.submit(SPEC | {"padding": "x" * 20_000}) for _ in range(100))
    assert "set QEXPLORE_HOME to a folder that you can write to and that has room" in str(told.value)
    ids = {run.id for run in shelf.runs(limit=None)}
    assert len(ids) > 1
    assert kept[0] in ids
    assert {folder.name for folder in (shelf.root / "runs").iterdir()} == ids
    assert shelf.run(shelf.submit(SPEC)).state == "queued"


def test_a_home_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    root = tmp_path / "locked"
    root.mkdir()
    with without_rights(root), pytest.raises(HomeUnusable, match="permission denied; set QEXPLORE_HOME"):
        Store(root, executor=Idle())
    store = Store(root, executor=Idle())
    store.submit(SPEC)
    with without_rights(root / "runs"), pytest.raises(HomeUnusable, match="permission denied"):
        store.submit(SPEC)


@pytest.mark.parametrize("tail", ["", "below/it"])
def test_a_home_that_is_a_file_is_one_sentence(tmp_path: Path, tail: str) -> None:
    (tmp_path / "note.txt").write_text("not a folder")
    with pytest.raises(HomeUnusable, match="is not a folder"):
        Store(tmp_path / "note.txt" / tail, executor=Idle())


def test_a_file_that_is_no_database_is_left_alone(shelf: Store) -> None:
    text = "certainly not a database, but long enough to be one" * 100
    (shelf.root / "qexplore.db").write_text(text)
    with pytest.raises(HomeUnusable, match="is not a database of qexplore"):
        shelf.runs()
    assert (shelf.root / "qexplore.db").read_text() == text


def test_an_unknown_executor_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEXPLORE_EXECUTOR", "ray:auto")
    with pytest.raises(QexploreError, match="QEXPLORE_EXECUTOR is 'ray:auto', but only 'local' is known"):
        Store(home)


def test_a_store_serves_many_threads(shelf: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda seed: shelf.submit(SPEC | {"seed": seed}), range(40)))
        assert all(pool.map(lambda run_id: shelf.run(run_id).active, ids))
    assert len({*ids}) == 40
