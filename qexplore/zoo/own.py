"""Tasks of a user's own: <home>/tasks/<name>/ with task.json and, where weights were given, weights.safetensors.

Listing them imports no torch; a folder that is damaged is left out of the list and told of when it is named.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qexplore.errors import QexploreError, UnknownName
from qexplore.places import home
from qexplore.registry import key_of
from qexplore.report import Report
from qexplore.zoo.entries import ENTRIES, Entry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from qexplore.zoo.preprocessing import Preprocessing

FORMAT = 1
DOCUMENT, WEIGHTS = "task.json", "weights.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "title": str,
    "model": str,
    "weights": (str, type(None)),
    "data": str,
    "preprocessing": (dict, type(None)),
    "classes": list,
    "segmentation": bool,
    "seed": int,
    "local": bool,
}


def names() -> tuple[str, ...]:
    """Names of the tasks of this home that can be read, sorted."""
    return tuple(name for name in folders() if _document(name) is not None)


def folders() -> tuple[str, ...]:
    """Names of all folders of tasks, damaged ones among them, sorted."""
    try:
        with os.scandir(place()) as found:
            return tuple(sorted(one.name for one in found if one.is_dir() and _NAME.fullmatch(one.name)))
    except OSError:
        return ()


def find(name: str) -> str | None:
    """The task as its folder is called: 'My_Net' finds 'my-net', as in the zoo; None where there is none."""
    known = folders()
    return name if name in known else next((one for one in known if key_of(one) == key_of(name)), None)


def entry(name: str) -> Entry:
    """The entry of the task in the folder `name`; QexploreError where its file is damaged."""
    document = _document(name)
    if document is None:
        raise QexploreError(
            f"The task {name!r} cannot be read from {place() / name / DOCUMENT}: "
            f"remove it with python -m qexplore task remove {name}, and add it anew."
        )
    weights = " with weights of its own" if document["weights"] else ""
    classes = f", {len(document['classes'])} classes" if document["classes"] else ""  # an .npz names none
    return Entry(
        name=name,
        title=document["title"] or name,
        description=f"{document['model']}{weights} on {document['data']}{classes}.",
        own=True,
        source=document,
    )


def add(
    name: str,
    *,
    model: str,
    data: str,
    weights: str | Path | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    title: str = "",
    local: bool = False,
    report: Report | None = None,
    trial: Callable[[nn.Module, Tensor], tuple[str, ...]] | None = None,
) -> Entry:
    """Stores a task under `name`, after everything was opened and the network was run on a batch of its images.

    model, weights, local: as for open_network; data: as for open_data; preprocessing: the network's own when None.
    trial: what else the network has to stand, on one image; it raises QexploreError, or gives sentences to report.
    Weights are copied, images are not. A failure leaves everything as it was.
    """
    from qexplore.zoo.adding import stored

    require_free(name)
    stored(name, model, data, weights, preprocessing, seed, title, local, report or Report(), trial)
    return entry(name)


def remove(name: str) -> None:
    """Forgets a task of one's own and its weights; the images and the runs stay. UnknownName where there is none."""
    found = find(name)
    if found is None and name in ENTRIES:
        raise QexploreError(f"The task {name!r} belongs to the zoo and cannot be removed.")
    if found is None:
        raise UnknownName("task of your own", name, folders())
    # Renamed first: nobody who lists the tasks meanwhile sees half of one.
    gone = place() / f".{found}.{os.getpid()}.gone"
    (place() / found).rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def require_free(name: str) -> None:
    """QexploreError unless a new task may be called so."""
    from qexplore.zoo.catalogue import taken

    if not _NAME.fullmatch(name):
        raise QexploreError(
            f"{name[:80]!r} is no name for a task: take up to 64 letters, digits, '.', '_' and '-', the first of them "
            "a letter or a digit."
        )
    holder = taken(name)
    if holder is not None and holder in ENTRIES:
        raise QexploreError(f"The name {name!r} belongs to the zoo; give your own network another one.")
    if holder is not None:
        raise QexploreError(
            f"There is a task {holder!r} already; take another name, or first: python -m qexplore task remove {holder}."
        )


def place() -> Path:
    """The folder of this home's tasks; it need not exist."""
    return home() / "tasks"


def weights_of(name: str) -> Path | None:
    """The file of a task's own weights; None where its network has those that come with it."""
    document = entry(name).source
    return place() / name / WEIGHTS if document is not None and document["weights"] else None


def _document(name: str) -> dict[str, Any] | None:
    path = place() / name / DOCUMENT
    try:
        stat = path.stat()
    except OSError:
        return None
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int, size: int) -> dict[str, Any] | None:
    """The document if it is one of a task; kept while the file stays as it is."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return document if _is_task(document, path.parent.name) else None


def _is_task(document: object, name: str) -> bool:
    return (
        isinstance(document, dict)
        and document.get("format") == FORMAT
        and document.get("name") == name
        and all(isinstance(document.get(field), kind) for field, kind in _FIELDS.items())
        and all(isinstance(one, str) for one in document["classes"])
    )
