"""A task on its way into the home: where its upload lies, how far it is, and what became of it."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qexplore.places import home
from qexplore.ui.bench import trouble
from qexplore.ui.desk import desk, session
from qexplore.ui.own import helper

LARGEST = 200  # MB of an upload
ENDINGS = ("safetensors", "pt", "pth")
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
    began: float = field(default_factory=time.monotonic)

    @property
    def progress(self) -> tuple[float, str, float | None]:
        """Share of the present phase that is finished, its name, and the seconds left; None while nothing tells."""
        try:
            event = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))
            done, total, text = int(event["done"]), int(event["total"]), str(event["text"])
        except (OSError, ValueError, KeyError):
            return 0.0, "opening the network", None
        share = min(done / total, 1.0) if total > 0 else 0.0
        left = (time.monotonic() - self.began) * (1 - share) / share if 0.02 < share < 1 else None
        return share, text, left

    def outcome(self) -> dict[str, Any]:
        """What came out: facts of the images with the task's name, or trouble in a sentence."""
        failed = trouble(self.future)
        return {"trouble": failed} if failed else self.future.result()


def begin(words: Mapping[str, Any], upload: Upload | None) -> Adding:
    """Starts to add the task; words: name, model, data, seed and title as `own.add` takes them."""
    folder = home() / "uploads" / secrets.token_hex(8)
    folder.mkdir(parents=True)
    weights = None if upload is None else _stored(upload, folder)
    request = {"ask": "add", **words, "weights": weights, "progress": str(folder / "progress.json")}
    future = desk("adding").ask(f"add {session()}", ("add", folder.name), lambda: _work(request, folder))
    return Adding(str(words["name"]), folder, future)


def name_of(model: str, data: str) -> str:
    """A name for a task, made of its parts."""
    parts = model.removeprefix("torchvision:").partition("@")[0], Path(data.partition(":")[2] or data).stem
    return _PLAIN.sub("-", "-".join(part.lower() for part in parts)).strip("-.")[:64]


def _work(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    try:
        return helper.ask(request)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stored(upload: Upload, folder: Path) -> str:
    path = folder / (_PLAIN.sub("-", Path(upload.name).name).lstrip(".")[-80:] or "weights")
    path.write_bytes(upload.content)
    return str(path)
