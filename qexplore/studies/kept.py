"""Trials kept in a file, so that a study of many hours can be broken off and taken up again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import qexplore
from qexplore.errors import QexploreError
from qexplore.network import Judged
from qexplore.recipes import Recipe
from qexplore.report import Event


@dataclass(frozen=True)
class Measured:
    """What carrying out a recipe once came to; seconds: of carrying it out, not of judging; events: those kept."""

    judged: Judged
    seconds: float
    events: tuple[Event, ...] = ()


FIRST, ANYONE = "0.1.0", ""  # version and drawing function of the lines that name none


class Kept:
    """Measured trials, each under its key and the name of the function that drew its images; with a path each is also a
    line of JSON in that file, written at once.

    A trial of another version of the package is measured again, since steps and their defaults may be others. Lines
    from before there was a version in them are of the FIRST one, and whoever draws: a file is of one study.
    A last line that is torn, because the machine went down while it was written, is measured again.
    """

    def __init__(self, path: Path | None = None) -> None:
        """QexploreError where the file is something else."""
        self.path, self._known = path, dict[tuple[str, str], Measured]()
        if path is None or not path.exists():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        *lines, last = text.split("\n")
        for number, line in enumerate(lines, 1):
            try:
                key, drawn, version, measured = _read(line)
            except (ValueError, TypeError, KeyError):
                raise QexploreError(
                    f"Line {number} of {str(path)!r} is no trial of a study: name another file, or take the line out."
                ) from None
            if version == qexplore.__version__:
                self._known[key, drawn] = measured
        if last:
            path.write_text(text.removesuffix(last), encoding="utf-8")

    def get(self, key: str, drawn: str) -> Measured | None:
        """What was measured under the key on images that the function `drawn` gave, if anything."""
        return self._known.get((key, drawn), self._known.get((key, ANYONE)))

    def add(self, key: str, measured: Measured, drawn: str) -> None:
        """Keeps a trial from now on."""
        self._known[key, drawn] = measured
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_written(key, measured, drawn) + "\n")


def key_of(recipe: Recipe, task: str, model: nn.Module, seed: int) -> str:
    """What a trial hangs on, as hexadecimal digits: recipe without its names, task with its FP32 weights, seed."""
    document = json.dumps([{**recipe.to_document(), "name": "", "title": ""}, task, seed], sort_keys=True)
    digest = hashlib.sha256(document.encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def _written(key: str, measured: Measured, drawn: str) -> str:
    judged = measured.judged
    if judged.overlap is not None:
        raise QexploreError("Only trials of classifiers can be kept in a file: leave --keep out.")
    return json.dumps(
        {
            "key": key,
            "version": qexplore.__version__,
            "drawn": drawn,
            "right": base64.b64encode(np.packbits(judged.correct.numpy()).tobytes()).decode(),
            "images": len(judged.correct),
            "loss": judged.loss,
            "seconds": measured.seconds,  # unrounded, or 0.2503 would be 0.3 on one page and 0.2 on the next
            "events": measured.events,
        },
        separators=(",", ":"),
    )


def _read(line: str) -> tuple[str, str, str, Measured]:
    """Key, who drew, version, and what was measured."""
    given: Mapping[str, Any] = json.loads(line)
    judged = Judged(_bits(given["right"], int(given["images"])), float(given["loss"]))
    measured = Measured(judged, float(given["seconds"]), tuple(given["events"]))
    return str(given["key"]), str(given.get("drawn", ANYONE)), str(given.get("version", FIRST)), measured


def _bits(packed: str, count: int) -> Tensor:
    values = np.frombuffer(base64.b64decode(packed, validate=True), dtype=np.uint8)
    if not 0 < count <= 8 * len(values):
        raise ValueError(count)
    return torch.from_numpy(np.unpackbits(values, count=count).astype(bool))
