"""What a process has left behind that was stopped while it wrote: nobody else would ever remove it."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

AGE = 24 * 3600.0  # seconds that nobody writes for without having been stopped


def remove_leftovers(folder: Path, *patterns: str) -> None:
    """Removes files and folders in `folder` that are called so and were not written to for a day; what cannot be
    removed stays.
    """
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime < AGE:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
