"""What a task of one's own is made of, as a digest that changes with it; imports no torch and opens no picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from qexplore.zoo.catalogue import entry
from qexplore.zoo.image_files import TESTS, TRAIN

_FOLDERS = 4096  # below the images' own, of which the time of change is taken
_PARTS = (TRAIN, *TESTS)  # whose folders are looked into; those of classes are not, which hold all the pictures


def made_of(name: str) -> str | None:
    """Digest of what the task `name` is made of now; None for one of the zoo, which does not change."""
    source = entry(name).source
    return None if source is None else fingerprint(source)


def fingerprint(document: Mapping[str, Any]) -> str:
    """Digest of the factory's file, and of when the images' file or folders were last changed.

    document: as `own` keeps it; weights are its own copy, which nothing changes. What is not there counts as such.
    """
    place = str(document["model"]).rpartition(":")[0]
    model = _content(Path(place)) if document["local"] and place.endswith(".py") else ""
    kind, _, rest = str(document["data"]).partition(":")
    images = [*_changes(Path(rest))] if kind in ("folder", "npz") else []
    return sha256(repr((model, images)).encode()).hexdigest()


def _content(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _changes(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, size of a file, when it was changed in ns) of a file, or of a folder and those in it."""
    folders = [path, *islice(_below(path), _FOLDERS)]
    for one in folders:
        try:
            found = one.stat()
        except OSError:
            continue
        yield one.name, found.st_size if one == path and not one.is_dir() else 0, found.st_mtime_ns


def _below(folder: Path) -> Iterator[Path]:
    """Folders in a folder, sorted, and those in train and test."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in names:
        yield folder / name
        if name in _PARTS:
            yield from _below(folder / name)
