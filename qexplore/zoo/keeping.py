"""What a training has come to, kept on disk so that it can go on after it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch

from qexplore.zoo.entries import Entry


@dataclass(frozen=True)
class Keep:
    """The file of one unfinished training; none where `path` is None, and then nothing is kept.

    what: of which training; what another one has left there is not taken up.
    """

    path: Path | None = None
    what: str = ""

    def found(self) -> dict[str, Any] | None:
        """What was put last; None where nothing was, or where it is another training's or cannot be read."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            state = cast(dict[str, Any], torch.load(self.path, weights_only=True))
        except (UnpicklingError, RuntimeError, EOFError):
            return None
        return state if state.get("what") == self.what else None

    def put(self, state: dict[str, Any]) -> None:
        """Keeps `state`, tensors and plain values, in place of what was kept; a reader never sees half a file."""
        if self.path is not None:
            half = self.path.with_name(self.path.name + ".part")
            torch.save({"what": self.what, **state}, half)
            half.replace(self.path)

    def drop(self) -> None:
        """Nothing is kept any more: the training is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Work:
    """Where and how a checkpoint is made.

    checkpoint: the file that will be written; what is unfinished is kept beside it. None: nothing is kept.
    threads: of torch.
    """

    checkpoint: Path | None = None
    threads: int = 1

    def keep(self, entry: Entry, seed: int, settings: object) -> Keep:
        """The file for the training of `entry` with these `settings`."""
        what = f"{entry.name}, seed {seed}, {settings!r}, {self.threads} threads"
        return Keep(self.unfinished, what)

    @property
    def unfinished(self) -> Path | None:
        return None if self.checkpoint is None else self.checkpoint.with_suffix(".unfinished")
