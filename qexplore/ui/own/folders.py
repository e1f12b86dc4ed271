"""Folders of pictures below those that are allowed: found by looking at names only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.places import OutsideRoots, roots, within
from qexplore.ui.foreign import escaped
from qexplore.zoo.image_files import ENDINGS, has_masks, is_folder, is_hidden, parts, told, tree

_DEEPEST, _MOST, _SECONDS = 3, 300, 1.0  # levels below an allowed folder, what is listed, time for the search
_LOOKED_AT = 40  # entries of a folder that tell whether it holds pictures


@dataclass(frozen=True)
class Place:
    """Something whose images may be used: what people read, and the source as `own.add` takes it."""

    label: str
    source: str


@st.cache_data(ttl=20, show_spinner=False)
def places(allowed: tuple[Path, ...]) -> list[Place]:
    """Folders with pictures by class (or with masks) and .npz files below the `allowed` ones."""
    until = time.monotonic() + _SECONDS
    found: list[Place] = []
    for root in allowed:
        for path in _below(root, _DEEPEST, until):
            inner = path.relative_to(root)
            label = root.name if inner == Path() else f"{root.name}/{inner}"
            kind = "npz" if path.suffix.lower() == ".npz" else "folder"
            found.append(Place(told(label), f"{kind}:{path}"))
            if len(found) >= _MOST:
                return found
    return found


def typed(text: str) -> Place:
    """The place that a visitor has typed; OutsideRoots where it does not lie in an allowed folder."""
    try:
        path = within(text.strip())
    except ValueError as error:  # a name that no file system takes
        raise OutsideRoots(text) from error
    return Place(told(path), f"{'npz' if path.suffix.lower() == '.npz' else 'folder'}:{path}")


@st.cache_data(ttl=20, show_spinner=False, max_entries=50)
def contents(source: str) -> str:
    """What a folder holds, in a clause, or why it cannot serve. Counts names, opens no file."""
    kind, _, path = source.partition(":")
    if kind != "folder":
        return ""
    if has_masks(Path(path), _entries(Path(path))[0]):
        return "pictures with masks: a class for each pixel"
    try:
        found = tree(Path(path))
    except QexploreError as error:
        return f"**{escaped(str(error))}**"
    told_of = f"{len(found.first.classes)} classes, {len(found.first.paths):,} pictures"
    told_of += f" and {len(found.test.paths):,} for tests" if found.test else ""
    left_out = [*found.first.skipped, *(found.test.skipped if found.test else ())]
    reasons = escaped(", ".join(sorted({reason for _, reason in left_out})))
    return f"{told_of}; {len(left_out)} left out: {reasons}" if left_out else told_of


def _below(folder: Path, levels: int, until: float) -> Iterator[Path]:
    """Folders that can serve and .npz files, the folder itself included; does not look inside what serves."""
    if time.monotonic() > until:
        return
    inner, files = _entries(folder)
    if _serves(folder, inner):
        yield folder
        return
    yield from (folder / name for name in files if name.lower().endswith(".npz"))
    if levels > 0:
        for name in inner:
            if _inside(folder / name):
                yield from _below(folder / name, levels - 1, until)


def _serves(folder: Path, inner: list[str]) -> bool:
    if has_masks(folder, inner) or all(parts(inner)):
        return True
    return sum(_has_pictures(folder / name) for name in inner[:_LOOKED_AT]) >= 2


def _has_pictures(folder: Path) -> bool:
    return any(name.lower().endswith(ENDINGS) for name in _entries(folder)[1][:_LOOKED_AT])


def _inside(path: Path) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(root) for root in roots())


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted, hidden ones left out; none where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            entries = [(entry.name, is_folder(entry)) for entry in found if not is_hidden(entry.name)]
    except OSError:
        return [], []
    return sorted(n for n, is_dir in entries if is_dir), sorted(n for n, is_dir in entries if not is_dir)
