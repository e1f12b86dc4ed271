"""Where things lie on this machine: the home of what is stored, and the folders whose images may be used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from qexplore.errors import QexploreError

WAYS = "name its folder with --data DIR, in QEXPLORE_DATA, or once for all with: python -m qexplore data add DIR"


class OutsideRoots(QexploreError):
    """A path that does not lie in a folder whose images may be used."""

    def __init__(self, path: object) -> None:
        told = repr(str(path)) if len(str(path)) <= 200 else repr(str(path)[:200]) + "…"
        listed = ", ".join(str(root) for root in roots()) or "none"
        super().__init__(
            f"{told} lies outside the folders whose images may be used here ({listed}); "
            "whoever runs this app allows one with: python -m qexplore data add DIR."
        )


def home() -> Path:
    """The folder of all that is stored (QEXPLORE_HOME, else ~/.qexplore), absolute; it need not exist yet.

    Raises QexploreError where ~ or ~name is the home of nobody.
    """
    named = os.environ.get("QEXPLORE_HOME") or "~/.qexplore"
    found = expanded(named)
    if str(found).startswith("~"):
        raise QexploreError(f"The home {named!r} names no user of this machine; set QEXPLORE_HOME to a folder.")
    return found.absolute()


def roots() -> tuple[Path, ...]:
    """Folders whose images may be used, resolved, each once: those of QEXPLORE_DATA, then those of the setting."""
    found = [*map(settled, named_roots()), *stored_roots()]
    return tuple(dict.fromkeys(found))


def named_roots() -> tuple[Path, ...]:
    """The folders of QEXPLORE_DATA, absolute, so that they mean the same from any folder; links are not followed."""
    named = os.environ.get("QEXPLORE_DATA", "").split(os.pathsep)
    return tuple(expanded(part).absolute() for part in named if part)


def stored_roots() -> tuple[Path, ...]:
    """The folders of the setting <home>/data.json; none where there is no such file or it cannot be read."""
    setting = _setting()
    try:
        document: Any = json.loads(setting.read_text())
    except (OSError, ValueError):
        return ()
    folders = document.get("folders") if isinstance(document, dict) else None
    if not isinstance(folders, list):
        return ()
    return tuple(settled(folder) for folder in folders if isinstance(folder, str) and Path(folder).is_absolute())


def store_roots(folders: tuple[Path, ...]) -> None:
    """Writes the setting <home>/data.json; a reader never sees half a file."""
    setting = _setting()
    draft = setting.with_name(f".{setting.name}.{os.getpid()}.tmp")
    try:
        setting.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"folders": [str(folder) for folder in folders]}, indent=1) + "\n")
        draft.replace(setting)
    except OSError as error:
        raise QexploreError(
            f"The setting {setting} cannot be written ({error.strerror}); set QEXPLORE_HOME to a folder that can be."
        ) from error


def expanded(path: str | Path) -> Path:
    """The path with a leading ~ or ~name in full; as it is written where nobody is called so, as shells leave it."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - pathlib's own raises where there is no such user


def settled(path: str | Path) -> Path:
    """The path expanded, absolute and with its links followed, as far as there is anything; never fails."""
    return Path(os.path.realpath(expanded(path)))


def within(path: str | Path) -> Path:
    """`path` resolved, through `..` and symbolic links, if it lies in one of roots(); else OutsideRoots.

    A relative path is looked for in each of the roots, never in the current folder.
    """
    given = Path(path)
    if "\0" in str(path):
        raise OutsideRoots(path)
    candidates = [given] if given.is_absolute() else [root / given for root in roots()]
    inside = [place for place in map(_resolved, candidates) if place is not None and _is_inside(place)]
    if not inside:
        raise OutsideRoots(path)
    return next((place for place in inside if place.exists()), inside[0])


def _resolved(path: Path) -> Path | None:
    try:
        place = path.resolve()
        place.lstat()
    except FileNotFoundError:
        return place
    except (OSError, RuntimeError, ValueError):  # a circle of links, a name that is too long, no rights
        return None
    return place


def _is_inside(path: Path) -> bool:
    return any(path.is_relative_to(root) for root in roots())


def _setting() -> Path:
    return home() / "data.json"
