"""Files that a verb is asked to write."""

from __future__ import annotations

import os
from pathlib import Path

from qexplore.errors import QexploreError


def require_place(path: Path, what: str) -> None:
    """QexploreError where no file can be written at `path`: told before the work. what: "The report", say."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise QexploreError(f"{what} cannot be written to {str(path)!r}: give a file in a folder that exists.")
