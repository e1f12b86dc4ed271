"""Data sets of torchvision by name, where they have been downloaded already; nothing is ever downloaded here."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qexplore.errors import UnknownName
from qexplore.places import WAYS, expanded, roots
from qexplore.zoo.albums import Album, Albums, Opened
from qexplore.zoo.errors import BadData, DataAbsent
from qexplore.zoo.image_files import is_folder, leads_out, require_inside

LABELS = ("targets", "labels", "_labels", "y")
SPLITS = (("train", "trainval"), ("test", "val", "valid"))


def downloaded_albums(named: str, at: Path | None = None) -> Albums:
    """The data set NAME or NAME@ROOT of torchvision.datasets, found below ROOT or the folders that may be used.

    at: the folder that ROOT stands for, already checked.
    Raises UnknownName, DataAbsent where it has not been downloaded, BadData where its labels are no class numbers.
    """
    name, _, root = named.partition("@")
    kind = _kind(name)
    places = [at or expanded(root)] if at or root else list(roots())
    candidates = [(inner, top) for top in places for inner in (top, top / name, top / name.lower())]
    for place, top in candidates:
        parts = [] if leads_out(place, top) else _parts(kind, place)
        if parts:
            return _albums(kind.__name__, place, parts)
    for place, top in candidates:
        require_inside(place, top)  # better told than "not there"
    looked = ", ".join(map(str, places)) or "no folder is named"
    raise DataAbsent(
        f"torchvision's {kind.__name__} is not there (looked in: {looked}); download it with "
        f"torchvision.datasets.{kind.__name__}(root=DIR, download=True), then {WAYS}."
    )


def _kind(name: str) -> Any:
    from torchvision import datasets

    kinds = {one: getattr(datasets, one) for one in datasets.__all__}
    kinds = {one: kind for one, kind in kinds.items() if inspect.isclass(kind) and _takes_root(kind)}
    for one, kind in kinds.items():
        if one.lower() == name.lower():
            return kind
    raise UnknownName("data set of torchvision", name, kinds)


def _takes_root(kind: Any) -> bool:
    return {"root", "download"} <= inspect.signature(kind).parameters.keys()


def _parts(kind: Any, root: Path) -> list[Any]:
    """The data set's part to train and its part to test, or all of it; none where it is not there."""
    settings = inspect.signature(kind).parameters
    if not is_folder(root):
        return []
    if "train" in settings:
        return list(_opened(kind, root, [{"train": True}])) + list(_opened(kind, root, [{"train": False}]))
    if "split" in settings:
        return [part for names in SPLITS for part in _opened(kind, root, [{"split": one} for one in names])]
    return list(_opened(kind, root, [{}]))


def _opened(kind: Any, root: Path, ways: list[dict[str, Any]]) -> Iterator[Any]:
    """The first of the `ways` that works."""
    for settings in ways:
        try:
            yield kind(root=str(root), download=False, **settings)
        except (RuntimeError, OSError, ValueError, TypeError, ImportError):
            continue
        return


def _albums(name: str, root: Path, parts: list[Any]) -> Albums:
    made = [
        _album(f"{name} {'test' if number else 'train' if parts[1:] else 'all'}", root, part)
        for number, part in enumerate(parts)
    ]
    classes = getattr(parts[0], "classes", None)
    names = tuple(map(str, classes)) if isinstance(classes, list | tuple) else None
    return Albums(made[0], made[1] if len(made) > 1 else None, names)


def _album(title: str, root: Path, part: Any) -> Album:
    labels = _labels(title, part)
    digest = hashlib.sha256(f"{title}\0{root.resolve()}\0".encode() + labels.tobytes())
    for path in sorted(root.glob("*")) + sorted(root.glob("*/*"))[:1000]:
        try:
            facts = path.stat()
        except OSError:  # a link to nothing, which is no part of the set
            continue
        digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}".encode("utf-8", "surrogateescape"))

    def opener(place: int) -> Opened:
        picture = part[place][0]
        if not isinstance(picture, Image.Image):
            raise ValueError(f"it is no picture but '{type(picture).__name__}'")
        return picture, None

    names = [f"{title}[{place}]" for place in range(len(labels))]
    return Album(title, digest.hexdigest(), labels, names, opener)


def _labels(title: str, part: Any) -> np.ndarray:
    for name in LABELS:
        found = np.asarray(getattr(part, name, None))
        if found.ndim == 1 and len(found) == len(part) and found.dtype.kind in "iu":
            return found.astype(np.int64)
    labels = [part[place][1] for place in range(len(part))]
    if not labels or any(isinstance(one, bool) or not isinstance(one, int | np.integer) for one in labels):
        raise BadData(f"torchvision's {title} does not give one class number for each picture; use another data set.")
    return np.array(labels, np.int64)
