"""Where the training of a run stands, on disk: one safetensors file a step, replaced whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.ptq import State
from qexplore.report import Report
from qexplore.runs.files import replacing
from qexplore.runs.inheritance import ENDING, FOLDER

LARGEST_FACTS = 16 * 2**20  # characters; safetensors reads headers of 100 MB at most
_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_UNREADABLE = (SafetensorError, OSError, ValueError, KeyError, TypeError)


class FileKeeper:
    """Keeps states below the folder of a run, for the run that resumes it.

    Tensors come back to the bit, channels last where they were; whoever is killed while saving leaves the state before.
    """

    def __init__(self, run_folder: Path, report: Report | None = None) -> None:
        self._folder, self._report = run_folder / FOLDER, report or Report()

    def load(self, key: str) -> State | None:
        """The last state kept under `key`; None where there is none, or where it is damaged, which is then told."""
        file = self._file(key)
        if not file.exists():
            return None
        try:
            return _read(file)
        except _UNREADABLE as problem:
            why = str(problem).split("\n")[0][:200].rstrip(".") or type(problem).__name__
            self._report.event("log", text=f"The checkpoint {file} is damaged ({why}); {key} starts anew.")
            return None

    def save(self, key: str, state: State) -> None:
        """Keeps `state` in place of the one before; QexploreError where it cannot be written."""
        tensors, facts = state
        text = json.dumps(facts)
        if len(text) > LARGEST_FACTS:
            raise QexploreError(f"The checkpoint {key} has {len(text):,} characters of facts; put them into tensors.")
        last = [name for name, tensor in tensors.items() if _channels_last(tensor)]
        file = self._file(key)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as draft:
                save_file(_apart(tensors), draft, {"facts": text, "channels_last": json.dumps(last)})
        except (SafetensorError, OSError) as problem:
            raise QexploreError(
                f"The checkpoint {file} cannot be written ({str(problem).rstrip('.')}); "
                "make room, or set QEXPLORE_HOME to a folder that has some."
            ) from None

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise QexploreError(f"A checkpoint is called by letters, digits and dashes, not {key!r:.80}.")
        return self._folder / f"{key}{ENDING}"


def _read(file: Path) -> State:
    with safe_open(file, framework="pt") as opened:
        words: dict[str, str] = opened.metadata() or {}
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118  (no mapping)
    facts: dict[str, Any] = json.loads(words["facts"])
    for name in json.loads(words["channels_last"]):
        tensors[name] = tensors[name].contiguous(memory_format=torch.channels_last)
    return tensors, facts


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies where a file needs them: no two names may share memory in it."""
    owned: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        memory = value.untyped_storage().data_ptr()
        owned[name] = value.clone() if memory in seen or value.numel() * value.element_size() < _held(value) else value
        seen.add(memory)
    return owned


def _held(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
