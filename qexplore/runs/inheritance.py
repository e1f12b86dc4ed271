"""What a resumed run takes over from the run that it carries on: the checkpoints of its training."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

FOLDER, ENDING = "checkpoints", ".safetensors"


def kept(run_folder: Path) -> list[str]:
    """Names of the checkpoints in the folder of a run."""
    return sorted(file.name.removesuffix(ENDING) for file in _files(run_folder))


def inherit(parent: Path, child: Path) -> None:
    """Gives the folder `child` all checkpoints of the folder `parent`, its own once and for all.

    Files are linked where the disk can, else copied. Checkpoints are replaced, never written in place: whatever
    becomes of the one run, the other's stay.
    """
    for file in _files(parent):
        (child / FOLDER).mkdir(exist_ok=True)
        place = child / FOLDER / file.name
        try:
            os.link(file, place)
        except OSError:
            shutil.copy2(file, place)


def went_beyond(parent: Path, child: Path) -> bool:
    """Whether the folder `child` has a checkpoint that is not, unchanged, the one it took over from `parent`."""
    return _made(child) - _made(parent) != set()


def _made(run_folder: Path) -> set[tuple[str, int]]:
    """Name and time of each checkpoint: a link and a copy have the time of their original, a newer one its own."""
    return {(file.name, file.stat().st_mtime_ns) for file in _files(run_folder)}


def _files(run_folder: Path) -> list[Path]:
    return [file for file in (run_folder / FOLDER).glob(f"*{ENDING}") if not file.name.startswith(".")]
