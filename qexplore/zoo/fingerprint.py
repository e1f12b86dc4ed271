"""What a task of one's own is made of, as a digest that changes with it; imports no torch and opens no picture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from qexplore.zoo.catalogue import entry

_FOLDERS = 4096  # of the images, whose times of change are taken
_FILES = 5000  # up to which those of the pictures themselves are taken too: a page asks each time that it is drawn
_PACKAGE = "__init__.py"


def made_of(name: str) -> str | None:
    """Digest of what the task `name` is made of now; None for one of the zoo, which does not change."""
    source = entry(name).source
    return None if source is None else fingerprint(source)


def fingerprint(document: Mapping[str, Any]) -> str:
    """Digest of the factory's file and the modules beside it, and of when the images' files were last changed.

    document: as `own` keeps it; weights are its own copy, which nothing changes. What is not there counts as such. Of
    more than a few thousand pictures only their folders count, whose times tell what is added, taken away or renamed.
    """
    place = str(document["model"]).rpartition(":")[0]
    model = [_content(Path(place)), *_modules(Path(place))] if document["local"] and "/" in place else []
    kind, _, rest = str(document["data"]).partition(":")
    images = [*_changes(Path(rest))] if kind in ("folder", "npz") else []
    return sha256(repr((model, images)).encode()).hexdigest()


def _modules(file: Path) -> Iterator[tuple[str, int, int]]:
    """(name, size, when it was changed in ns) of the Python files beside `file` and in the packages there."""
    within = [file.parent / name for name, is_folder in _inside(file.parent) if is_folder]
    for folder in (file.parent, *(place for place in within if (place / _PACKAGE).exists())):
        names = [name for name, is_folder in _inside(folder) if not is_folder and name.endswith(".py")]
        yield from (fact for name in names if (fact := _fact(folder / name)) is not None)


def _content(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _changes(path: Path) -> Iterator[tuple[str, int, int]]:
    """(name, size of a file, when it was changed in ns) of a file, or of a folder and what is below it."""
    files: list[Path] = []
    folders = [path]
    for one in folders:
        if len(files) > _FILES:
            break  # the folders of all classes are known by now: a level is gone through before the next
        inner = _inside(one)
        folders += [one / name for name, is_folder in inner if is_folder and len(folders) < _FOLDERS]
        files += [one / name for name, is_folder in inner if not is_folder]
    told = folders if len(files) > _FILES else [*folders, *files]
    yield from (fact for one in told if (fact := _fact(one)) is not None)


def _fact(path: Path) -> tuple[str, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return path.name, 0 if path.is_dir() else found.st_size, found.st_mtime_ns


def _inside(folder: Path) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of what is in a folder, sorted; nothing where it is none."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return []
