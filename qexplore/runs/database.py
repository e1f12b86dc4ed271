"""Connections to the SQLite file of a home: opened for one call, brought to the present format, errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qexplore.runs import schema
from qexplore.runs.errors import HomeUnusable, StoreTooNew
from qexplore.runs.lock import waiting

FILE = "qexplore.db"
BUSY_SECONDS = 10.0

_WORDS = {
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_IOERR: "its disk is full or does not work",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_PERM: "access is not permitted",
    sqlite3.SQLITE_CANTOPEN: f"{FILE} cannot be opened or created there",
    sqlite3.SQLITE_BUSY: f"another process has kept {FILE} locked for {BUSY_SECONDS:.0f} s",
    sqlite3.SQLITE_LOCKED: f"another process has kept {FILE} locked for {BUSY_SECONDS:.0f} s",
    sqlite3.SQLITE_CORRUPT: f"{FILE} is damaged",
    sqlite3.SQLITE_NOTADB: f"{FILE} is not a database of qexplore",
}


@contextmanager
def reading(root: Path) -> Iterator[sqlite3.Connection]:
    """A connection in the present format; HomeUnusable or StoreTooNew where there can be none."""
    try:
        with closing(_connect(root / FILE)) as connection:
            if _version(connection, root) < len(schema.MIGRATIONS):
                _migrate(connection, root)
            yield connection
    except sqlite3.OperationalError as error:
        raise _unusable(root, error) from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise _unusable(root, error) from error


@contextmanager
def writing(root: Path) -> Iterator[sqlite3.Connection]:
    """A connection inside one transaction, committed at the end of the block and undone by an exception."""
    with reading(root) as connection, _transaction(connection):
        yield connection


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = NORMAL")  # of the connection, not of the file; FULL is 200 times slower
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _version(connection: sqlite3.Connection, root: Path) -> int:
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(schema.MIGRATIONS):
        raise StoreTooNew(root / FILE, found, len(schema.MIGRATIONS))
    return found


def _migrate(connection: sqlite3.Connection, root: Path) -> None:
    with waiting(root / "schema.lock"):  # switching to WAL does not wait for others by itself
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = OFF")  # a table that is dropped for its successor takes nothing along
        with _transaction(connection):
            for number in range(_version(connection, root), len(schema.MIGRATIONS)):
                for statement in schema.MIGRATIONS[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has undone it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _unusable(root: Path, error: sqlite3.Error) -> HomeUnusable:
    code = getattr(error, "sqlite_errorcode", None)
    words = _WORDS.get(code & 0xFF) if code is not None else None  # the low byte is the primary code
    return HomeUnusable(root, words or str(error))
