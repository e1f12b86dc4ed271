"""Decoded pictures on disk, so that none is decoded twice: bounded, shared by all processes of a home."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np

from qexplore.errors import QexploreError
from qexplore.places import home

LARGEST = 16 * 2**30  # bytes on disk of all caches of a home; one alone takes at most half of it
SPARED = 2**30  # bytes that stay free on the disk


class PictureCache:
    """`count` records of `size` bytes in a folder of their own; what is written once stays as it is.

    Files: pixels (the records, sparse) and kept (a byte for each: whether it is there). A record is written before it
    is said to be there: whoever is killed in between loses that record, nothing else.
    Records are read with pread, not mapped, so that they do not count as memory of the process.
    """

    def __init__(self, key: str, count: int, size: int) -> None:
        folder = caches() / key
        self._size = size
        try:
            caches().mkdir(parents=True, exist_ok=True)
            with _locked(caches() / ".lock"):
                folder.mkdir(exist_ok=True)
                _make_room(folder)
                self._pixels = _opened(folder / "pixels", count * size)
                self._kept = _opened(folder / "kept", count)
                os.utime(folder)
        except OSError as error:
            raise _unusable(error) from error
        self._there = np.memmap(self._kept, np.uint8, "r", shape=(count,))

    def has(self, index: np.ndarray) -> np.ndarray:
        """Which of the records `index` [k] are there; bool [k]."""
        return np.asarray(self._there[index] == 1)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One process at a time decodes for this cache; what is there is to be looked at again inside."""
        fcntl.flock(self._pixels, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._pixels, fcntl.LOCK_UN)

    def read(self, index: np.ndarray) -> np.ndarray:
        """The records `index` [k], which are there; uint8 [k, size]."""
        rows = np.empty((len(index), self._size), np.uint8)
        for row, place in zip(rows, index.tolist()):
            record = os.pread(self._pixels.fileno(), self._size, place * self._size)
            if len(record) != self._size:
                raise QexploreError(f"The cache of pictures in {caches()} is damaged; delete that folder.")
            row[:] = np.frombuffer(record, np.uint8)
        return rows

    def write(self, index: np.ndarray, rows: np.ndarray) -> None:
        """Keeps `rows` [k, size] uint8 as the records `index` [k].

        Where the bound or the disk leaves no room nothing is kept, and the records are decoded anew when needed.
        """
        if self._full(rows.nbytes):
            return
        try:
            for row, place in zip(rows, index.tolist()):
                os.pwrite(self._pixels.fileno(), row.data, place * self._size)
            getattr(os, "fdatasync", os.fsync)(self._pixels.fileno())  # macOS has the latter alone
            for place in index.tolist():
                os.pwrite(self._kept.fileno(), b"\1", place)
        except OSError as error:
            raise _unusable(error) from error

    def _full(self, more: int) -> bool:
        held = os.fstat(self._pixels.fileno()).st_blocks * 512
        return held + more > LARGEST // 2 or shutil.disk_usage(caches()).free < more + SPARED


def caches() -> Path:
    """The folder of all caches of pictures."""
    return home() / "cache" / "images"


def _make_room(mine: Path) -> None:
    """Removes the caches that were not used for the longest time, until the others leave half of the bound."""
    others = [path for path in caches().iterdir() if path.is_dir() and path != mine]
    held = {path: sum(file.stat().st_blocks * 512 for file in path.iterdir()) for path in others}
    for path in sorted(others, key=lambda one: one.stat().st_mtime):
        if sum(held.values()) <= LARGEST // 2:
            return
        shutil.rmtree(path)  # who reads it has its files open and goes on
        del held[path]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _opened(path: Path, size: int) -> FileIO:
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0)
    if os.fstat(file.fileno()).st_size != size:
        file.truncate(size)
    return file


def _unusable(error: OSError) -> QexploreError:
    return QexploreError(
        f"Decoded pictures cannot be kept in {caches()} ({error.strerror}); "
        "set QEXPLORE_HOME to a folder that you can write to and that has room."
    )
