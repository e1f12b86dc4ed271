"""`qexplore data`: folders whose images may be used, by the app too."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from qexplore.cli.lines import table
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.places import roots, settled, store_roots, stored_roots
from qexplore.zoo.image_files import is_folder, told, tree

ACTIONS = {
    "list": "the folders and what they hold, also where no ACTION is named",
    "add": "let a folder's images be used, from now on",
    "remove": "let them no longer be used; the images stay",
}
NAMED = 5  # classes
HEADS = ("folder", "allowed by", "images")


def arguments(parser: ArgumentParser) -> None:
    summary = "; ".join(f"{name}: {what}" for name, what in ACTIONS.items())
    parser.add_argument("action", nargs="?", default="list", choices=ACTIONS, metavar="ACTION", help=summary)
    parser.add_argument("folder", nargs="?", metavar="DIR", help="the folder, for add and remove")


def work(words: Namespace, watcher: Watcher) -> Document:
    if (words.folder is None) != (words.action == "list"):
        raise QexploreError(f"data {words.action} takes {'no folder' if words.folder else 'a folder: DIR'}.")
    if words.action == "add":
        _add(Path(words.folder))
    if words.action == "remove":
        _remove(Path(words.folder))
    kept = stored_roots()
    return [{"folder": root, "stored": root in kept, **_held(root)} for root in roots()]


def text(document: Document) -> str:
    if not document:
        return "No folders: add one with `data add DIR`, or name some in QEXPLORE_DATA."
    rows = [(told(row["folder"]), "data add" if row["stored"] else "QEXPLORE_DATA", _told(row)) for row in document]
    return table(HEADS, rows)


def _add(folder: Path) -> None:
    place = settled(folder)
    if not is_folder(place):
        raise QexploreError(f"There is no folder {str(folder)!r}; give one that holds images.")
    store_roots(tuple(dict.fromkeys((*stored_roots(), place))))


def _remove(folder: Path) -> None:
    place, kept = settled(folder), stored_roots()
    if place not in kept:
        listed = ", ".join(map(str, kept)) or "none"
        raise QexploreError(f"The folder {str(folder)!r} was not added (added: {listed}).")
    store_roots(tuple(root for root in kept if root != place))


def _held(root: Path) -> dict[str, Any]:
    """What the folder or those directly in it hold: sets with their images by part and their classes."""
    if not is_folder(root):
        return {"sets": [], "problem": "there is no such folder"}
    own = _set(root)
    if own is not None:
        return {"sets": [own], "problem": None}
    try:
        inner = [_set(path) for path in sorted(root.iterdir()) if is_folder(path)]
    except OSError as error:
        return {"sets": [], "problem": f"cannot be read ({error.strerror})"}
    return {"sets": [one for one in inner if one is not None], "problem": None}


def _set(folder: Path) -> dict[str, Any] | None:
    try:
        found = tree(folder)
    except QexploreError:
        return None
    images = {"images": len(found.first.paths)} if found.test is None else _parts(found.first.paths, found.test.paths)
    return {"folder": folder, "images": images, "classes": list(found.first.classes)}


def _parts(train: tuple[str, ...], test: tuple[str, ...]) -> dict[str, int]:
    return {"train": len(train), "test": len(test)}


def _told(row: dict[str, Any]) -> str:
    sets = [_line(one, row["folder"]) for one in row["sets"]]
    return row["problem"] or "; ".join(sets) or "no set of images with classes"


def _line(one: dict[str, Any], root: Path) -> str:
    counts = ", ".join(f"{count:,} {part}" for part, count in one["images"].items())
    names = [told(name) for name in one["classes"][:NAMED]] + ["…"] * (len(one["classes"]) > NAMED)
    where = "" if str(one["folder"]) == str(root) else f"{told(Path(one['folder']).name)}: "
    return f"{where}{counts}, {len(one['classes'])} classes ({', '.join(names)})"


VERBS.register("data")(Verb("Folders whose images may be used: list, add, remove.", arguments, work, text))
