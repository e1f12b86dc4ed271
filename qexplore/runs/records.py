"""The rows of the runs: every change of state is one guarded transaction, so that the first to end a run decides."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qexplore.runs.database import reading, writing
from qexplore.runs.documents import dumps, fingerprint
from qexplore.runs.errors import UnknownRun
from qexplore.runs.progress import Progress
from qexplore.runs.run import ACTIVE, Event, Run, run_of


class Records:
    """The table of runs below `root`; no processes, no folders."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def insert(self, run_id: str, spec: dict[str, Any], options: dict[str, Any]) -> None:
        """A queued run; `options` holds engine, threads, memory_mb and parent."""
        task = spec.get("task")
        row = {
            **options,
            "id": run_id,
            "kind": spec["kind"],
            "task": task if isinstance(task, str) else None,
            "spec": dumps(spec),
            "hash": fingerprint(spec),
            "state": "queued",
            "created": time.time(),
        }
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        with writing(self.root) as connection:
            connection.execute(f"INSERT INTO run ({names}) VALUES ({marks})", row)

    def get(self, run_id: str) -> Run:
        """The run called `run_id`; UnknownRun where there is none."""
        with reading(self.root) as connection:
            row = connection.execute("SELECT * FROM run WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                newest = connection.execute("SELECT id FROM run ORDER BY rowid DESC LIMIT 3").fetchall()
                raise UnknownRun(run_id, [entry["id"] for entry in newest])
        return run_of(row)

    def latest(
        self, limit: int | None, states: Sequence[str], *, kind: str | None = None, task: str | None = None
    ) -> list[Run]:
        """The newest runs in any of `states`, the newest first; all of them where `limit` is None.

        kind, task: only runs of it, where it is given.
        """
        named = {name: value for name, value in (("kind", kind), ("task", task)) if value is not None}
        which = f"state IN ({', '.join('?' * len(states))})" + "".join(f" AND {name} = ?" for name in named)
        query = f"SELECT * FROM run WHERE {which} ORDER BY rowid DESC LIMIT ?"
        values = (*states, *named.values(), -1 if limit is None else limit)
        with reading(self.root) as connection:
            return [run_of(row) for row in connection.execute(query, values)]

    def children(self, run_id: str) -> list[Run]:
        """The runs that carry `run_id` on, or repeat it where it is done; the newest first."""
        with reading(self.root) as connection:
            rows = connection.execute("SELECT * FROM run WHERE parent = ? ORDER BY rowid DESC", (run_id,)).fetchall()
        return [run_of(row) for row in rows]

    def active(self) -> list[Run]:
        """Queued and running runs, the oldest first."""
        return self.latest(None, ACTIVE)[::-1]

    def find(self, digest: str, engine: str, states: Sequence[str]) -> Run | None:
        """The newest run of this hash and engine in any of `states`."""
        marks = ", ".join("?" * len(states))
        query = f"SELECT * FROM run WHERE hash = ? AND engine = ? AND state IN ({marks}) ORDER BY rowid DESC LIMIT 1"
        with reading(self.root) as connection:
            row = connection.execute(query, (digest, engine, *states)).fetchone()
        return None if row is None else run_of(row)

    def claim(self, run_id: str, pid: int, pid_start: str | None) -> bool:
        """Makes a queued run the work of process `pid`; False where it waits no longer."""
        now = time.time()
        query = "UPDATE run SET state = 'running', started = ?, beat = ?, pid = ?, pid_start = ?"
        with writing(self.root) as connection:
            query += " WHERE id = ? AND state = 'queued'"
            return connection.execute(query, (now, now, pid, pid_start, run_id)).rowcount == 1

    def tell(self, run_id: str, events: Sequence[tuple[float, dict[str, Any]]], progress: Progress | None) -> bool:
        """Files (time, event) pairs under the next numbers, and the progress; False where the run shall stop."""
        payloads = [(at, _name(event), dumps(event)) for at, event in events]
        with writing(self.root) as connection:
            query = "SELECT coalesce(max(seq), 0) FROM event WHERE run_id = ?"
            last = connection.execute(query, (run_id,)).fetchone()[0]
            row = connection.execute(
                "SELECT state, cancel_asked, pause_asked FROM run WHERE id = ?", (run_id,)
            ).fetchone()
            if row is None or row["state"] != "running":
                return False
            rows = [(run_id, last + 1 + i, *told) for i, told in enumerate(payloads)]
            query = "INSERT INTO event (run_id, seq, time, name, payload) VALUES (?, ?, ?, ?, ?)"
            connection.executemany(query, rows)
            connection.execute("UPDATE run SET beat = ? WHERE id = ?", (time.time(), run_id))
            if progress is not None:
                connection.execute(
                    "UPDATE run SET done = :done, total = :total, message = :text, phase_started = :phase_started, "
                    "phase_done = :phase_done, progressed = :time WHERE id = :id",
                    {**vars(progress), "id": run_id},
                )
        return row["cancel_asked"] is None and row["pause_asked"] is None

    def wanted(self, run_id: str) -> bool:
        """Whether a running run shall go on."""
        query = "SELECT 1 FROM run WHERE id = ? AND state = 'running' AND cancel_asked IS NULL AND pause_asked IS NULL"
        with reading(self.root) as connection:
            return connection.execute(query, (run_id,)).fetchone() is not None

    def finish(
        self, run_id: str, state: str, *, error: str | None = None, result: Any = None, pid: int | None = None
    ) -> bool:
        """Ends an active run, once. With `pid`, only where that process, or none yet, works on it."""
        query = "UPDATE run SET state = ?, finished = ?, error = ?, result = ? WHERE id = ?"
        query += " AND state IN ('queued', 'running') AND (? IS NULL OR pid IS NULL OR pid = ?)"
        text = None if result is None else dumps(result)
        with writing(self.root) as connection:
            return connection.execute(query, (state, time.time(), error, text, run_id, pid, pid)).rowcount == 1

    def ask_cancel(self, run_id: str) -> None:
        """Ends a queued run; leaves a wish on a running one, which goes before one to pause."""
        self._ask(run_id, "cancelled", "Cancelled before it began.", "cancel_asked = ? WHERE cancel_asked IS NULL")

    def ask_pause(self, run_id: str) -> None:
        """Takes a queued run out of the queue; leaves a wish on a running one that has none."""
        self._ask(run_id, "paused", None, "pause_asked = ? WHERE coalesce(cancel_asked, pause_asked) IS NULL")

    def _ask(self, run_id: str, state: str, error: str | None, wish: str) -> None:
        now = time.time()
        with writing(self.root) as connection:
            connection.execute(
                "UPDATE run SET state = ?, finished = ?, error = ? WHERE id = ? AND state = 'queued'",
                (state, now, error, run_id),
            )
            connection.execute(f"UPDATE run SET {wish} AND id = ? AND state = 'running'", (now, run_id))

    def remove(self, run_id: str) -> None:
        """Takes a run and its events out."""
        with writing(self.root) as connection:
            connection.execute("DELETE FROM run WHERE id = ?", (run_id,))

    def events(self, run_id: str, after: int, limit: int | None, names: Sequence[str] | None) -> list[Event]:
        """What the run reported after number `after`, in order; with `names`, only events that are called so."""
        table, named = "event", ""
        if names is not None:  # left to itself, SQLite reads the whole run along its primary key
            table, named = "event INDEXED BY event_by_name", f" AND name IN ({', '.join('?' * len(names))})"
        query = f"SELECT seq, time, payload FROM {table} WHERE run_id = ? AND seq > ?{named} ORDER BY seq LIMIT ?"
        values = (run_id, after, *(names or ()), -1 if limit is None else limit)
        with reading(self.root) as connection:
            rows = connection.execute(query, values).fetchall()
        return [Event(row["seq"], row["time"], json.loads(row["payload"])) for row in rows]


def _name(event: dict[str, Any]) -> str:
    """Under which name an event is found; a lone surrogate is no text for SQLite."""
    return str(event.get("event", "")).encode("utf-8", errors="replace").decode("utf-8")
