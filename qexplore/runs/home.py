"""Making the home of the runs ready for them."""

from __future__ import annotations

from pathlib import Path

from qexplore.places import home
from qexplore.runs.errors import HomeUnusable

__all__ = ["home", "prepare"]


def prepare(root: Path) -> Path:
    """`root` with its folder `runs`, made where missing; HomeUnusable where that is impossible."""
    try:
        (root / "runs").mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise HomeUnusable(root, f"{error.filename} is not a folder") from error
    except OSError as error:
        raise HomeUnusable(root, (error.strerror or str(error)).lower()) from error
    return root
