"""Where runs live: QEXPLORE_HOME, else ~/.qexplore."""

from __future__ import annotations

import os
from pathlib import Path

from qexplore.runs.errors import HomeUnusable


def home() -> Path:
    """The folder of the runs, as an absolute path; it need not exist yet."""
    return Path(os.environ.get("QEXPLORE_HOME") or "~/.qexplore").expanduser().absolute()


def prepare(root: Path) -> Path:
    """`root` with its folder `runs`, made where missing; HomeUnusable where that is impossible."""
    try:
        (root / "runs").mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise HomeUnusable(root, f"{error.filename} is not a folder") from error
    except OSError as error:
        raise HomeUnusable(root, (error.strerror or str(error)).lower()) from error
    return root
