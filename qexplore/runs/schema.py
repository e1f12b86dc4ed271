"""The tables of a home, as numbered migrations: number n leads from format n - 1 to format n."""

from __future__ import annotations

Migration = tuple[str, ...]

_FIRST: Migration = (
    """
    CREATE TABLE run (
        id            TEXT PRIMARY KEY,
        kind          TEXT NOT NULL,
        task          TEXT,                      -- the spec's own "task", where it is a name
        spec          TEXT NOT NULL,             -- JSON
        hash          TEXT NOT NULL,             -- SHA-256 of the canonical spec
        engine        TEXT NOT NULL,             -- version of qexplore
        parent        TEXT REFERENCES run (id) ON DELETE SET NULL,
        threads       INTEGER NOT NULL,
        memory_mb     INTEGER,
        state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'lost')),
        created       REAL NOT NULL,             -- times are seconds since 1970
        started       REAL,
        finished      REAL,
        done          INTEGER NOT NULL DEFAULT 0,
        total         INTEGER NOT NULL DEFAULT 0,
        message       TEXT NOT NULL DEFAULT '',  -- text of the present phase
        phase_started REAL,
        phase_done    INTEGER NOT NULL DEFAULT 0,
        progressed    REAL,                      -- last progress
        beat          REAL,                      -- last sign of life
        cancel_asked  REAL,
        pid           INTEGER,
        pid_start     TEXT,                      -- a pid alone is not an identity
        error         TEXT,
        result        TEXT                       -- JSON
    )
    """,
    "CREATE INDEX run_by_state ON run (state)",
    "CREATE INDEX run_by_hash ON run (hash, engine)",
    """
    CREATE TABLE event (
        run_id  TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        seq     INTEGER NOT NULL,
        time    REAL NOT NULL,
        payload TEXT NOT NULL,                   -- JSON
        PRIMARY KEY (run_id, seq)
    ) WITHOUT ROWID
    """,
)

# A run may be paused, and events are found by their name. SQLite changes a CHECK only with its table.
_KEPT = (
    "id, kind, task, spec, hash, engine, parent, threads, memory_mb, state, created, started, finished, done, total, "
    "message, phase_started, phase_done, progressed, beat, cancel_asked, pid, pid_start, error, result"
)
_SECOND: Migration = (
    """
    CREATE TABLE run_new (
        id            TEXT PRIMARY KEY,
        kind          TEXT NOT NULL,
        task          TEXT,
        spec          TEXT NOT NULL,
        hash          TEXT NOT NULL,
        engine        TEXT NOT NULL,
        parent        TEXT REFERENCES run (id) ON DELETE SET NULL,
        threads       INTEGER NOT NULL,
        memory_mb     INTEGER,
        state         TEXT NOT NULL
                      CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'lost', 'paused')),
        created       REAL NOT NULL,
        started       REAL,
        finished      REAL,
        done          INTEGER NOT NULL DEFAULT 0,
        total         INTEGER NOT NULL DEFAULT 0,
        message       TEXT NOT NULL DEFAULT '',
        phase_started REAL,
        phase_done    INTEGER NOT NULL DEFAULT 0,
        progressed    REAL,
        beat          REAL,
        cancel_asked  REAL,
        pause_asked   REAL,
        pid           INTEGER,
        pid_start     TEXT,
        error         TEXT,
        result        TEXT
    )
    """,
    f"INSERT INTO run_new (rowid, {_KEPT}) SELECT rowid, {_KEPT} FROM run",  # by their rowid runs are in order
    "DROP TABLE run",
    "ALTER TABLE run_new RENAME TO run",
    "CREATE INDEX run_by_state ON run (state)",
    "CREATE INDEX run_by_hash ON run (hash, engine)",
    """
    CREATE TABLE event_new (
        run_id  TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        seq     INTEGER NOT NULL,
        time    REAL NOT NULL,
        name    TEXT NOT NULL,                   -- the payload's own "event"
        payload TEXT NOT NULL,
        PRIMARY KEY (run_id, seq)
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO event_new
    SELECT run_id, seq, time,
           CASE WHEN json_valid(payload) THEN CAST(coalesce(json_extract(payload, '$.event'), '') AS TEXT) ELSE '' END,
           payload
    FROM event
    """,
    "DROP TABLE event",
    "ALTER TABLE event_new RENAME TO event",
    "CREATE INDEX event_by_name ON event (run_id, name, seq)",
)

MIGRATIONS: tuple[Migration, ...] = (_FIRST, _SECOND)
