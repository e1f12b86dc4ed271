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


def _files(run_folder: Path) -> list[Path]:
    return [file for file in (run_folder / FOLDER).glob(f"*{ENDING}") if not file.name.startswith(".")]
