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

MIGRATIONS: tuple[Migration, ...] = (_FIRST,)
