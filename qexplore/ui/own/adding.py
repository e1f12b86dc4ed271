"""A task on its way into the home: where its upload lies, how far it is, and what became of it.

Each has a folder <home>/uploads/… with a lock file that is held as long as anyone needs the folder: the kernel lets go
of it with the app, so that what an app has left behind when it was killed is told from what another one is using.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qexplore.places import home
from qexplore.runs import lock
from qexplore.runs.errors import HomeUnusable
from qexplore.runs.progress import Progress
from qexplore.ui.bench import trouble
from qexplore.ui.desk import desk, session
from qexplore.ui.own import helper

LARGEST = 200  # MB of an upload
ENDINGS = ("safetensors", "pt", "pth")
_DESK = ("adding", 3)  # name and threads: one whose network folder hangs does not hold the others up
_LOCK = "lock"
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Upload:
    """A file of weights as the browser has sent it."""

    name: str
    content: bytes | memoryview


@dataclass(frozen=True)
class Adding:
    """One attempt to add a task."""

    name: str
    folder: Path
    future: Future[dict[str, Any]]

    @property
    def progress(self) -> tuple[float, str, float | None]:
        """Share of the present phase that is finished, its name, and the seconds left; None while nothing tells."""
        try:
            told = Progress(**json.loads((self.folder / "progress.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            begun = self.future.running() or self.future.done()
            return 0.0, "opening the network" if begun else "waiting for other tasks that are being added", None
        share = min(told.done / told.total, 1.0) if told.total > 0 else 0.0
        return share, told.text, told.seconds_left if share < 1 else None

    def outcome(self) -> dict[str, Any]:
        """What came out: facts of the images with the task's name, or trouble in a sentence."""
        failed = trouble(self.future)
        return {"trouble": failed} if failed else self.future.result()


def begin(words: Mapping[str, Any], upload: Upload | None) -> Adding:
    """Starts to add the task; words: name, model, data, seed and title as `own.add` takes them."""
    folder, held = _folder()
    try:
        weights = None if upload is None else _stored(upload, folder)
    except OSError:
        _remove(folder, held)
        raise
    request = {"ask": "add", **words, "weights": weights, "progress": str(folder / "progress.json")}
    future = desk(*_DESK).ask(f"add {session()}", ("add", folder.name), lambda: _work(request, folder, held))
    return Adding(str(words["name"]), folder, future)


def name_of(model: str, data: str) -> str:
    """A name for a task, made of its parts."""
    parts = model.removeprefix("torchvision:").partition("@")[0], Path(data.partition(":")[2] or data).stem
    return _PLAIN.sub("-", "-".join(part.lower() for part in parts)).strip("-.")[:64]


def _work(request: dict[str, Any], folder: Path, held: int) -> dict[str, Any]:
    try:
        return helper.ask(request)
    finally:
        _remove(folder, held)


def _folder() -> tuple[Path, int]:
    """A new folder for an upload, and the descriptor that holds its lock; what nobody holds any more is removed."""
    uploads = home() / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    with lock.waiting(home() / "uploads.lock"):  # between its making and its locking a folder looks left behind
        for left in uploads.iterdir():
            with contextlib.suppress(HomeUnusable):  # no folder, or one that its user has removed meanwhile
                held = lock.take(left / _LOCK)
                if held is not None:
                    _remove(left, held)
        folder = uploads / secrets.token_hex(8)
        folder.mkdir()
        mine = lock.take(folder / _LOCK)
    assert mine is not None  # nobody else knows the folder
    return folder, mine


def _remove(folder: Path, held: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def _stored(upload: Upload, folder: Path) -> str:
    path = folder / (_PLAIN.sub("-", Path(upload.name).name).lstrip(".")[-80:] or "weights")
    path.write_bytes(upload.content)
    return str(path)
