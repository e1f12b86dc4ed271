"""Folders of pictures: which files they hold, in which classes and parts. Looks at names only; imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qexplore.places import roots
from qexplore.zoo.errors import BadData

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's ImageFolder
TRAIN = ("train", "training", "train_set", "training_set")
TESTS = ("test", "val", "validation", "valid", "testing", "test_set", "testing_set", "validation_set", "dev")
IMAGES, MASKS = "images", "masks"
MOST_FILES = 2_000_000
LINK_OUT = "a symbolic link out of the folder; allow its target with: python -m qexplore data add DIR"
NO_FILE = "no regular file"  # whoever opens a named pipe waits for ever
Skipped = tuple[str, str]


@dataclass(frozen=True)
class Files:
    """Pictures of one part in ImageFolder's order: paths and class numbers; and what was left out, with the reason."""

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Tree:
    """A folder of pictures: either one pool, or a part for training and one for testing."""

    first: Files
    test: Files | None = None


def tree(folder: Path) -> Tree:
    """The pictures below `folder`: <class>/*, or train/<class>/* and test/<class>/* (or val, validation, …).

    Of several folders for testing it is the first in the order of TESTS that has folders in it.
    Raises BadData where there is no such folder, no class, no picture, or only one class.
    """
    inner = folders_in(folder)
    train, tests = parts(inner)
    if train and tests:
        chosen = next((name for name in tests if folders_in(folder / name)), tests[0])
        first, test = files(folder / train[0], folder), files(folder / chosen, folder)
        foreign = sorted(set(test.classes) - set(first.classes))
        if foreign:
            raise BadData(
                f"The folder {told(test.folder)} holds the class {foreign[0]!r} that {train[0]} does not hold."
            )
        numbers = tuple(first.classes.index(test.classes[label]) for label in test.labels)
        return Tree(first, Files(test.folder, first.classes, test.paths, numbers, test.skipped))
    if len(inner) == 1 and [*train, *tests]:
        return Tree(files(folder / inner[0], folder))
    return Tree(files(folder))


def parts(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of names of folders those for training and those for testing, the likelier first: in any case of letters."""
    given = sorted(names)
    first, second = ([name for word in words for name in given if name.lower() == word] for words in (TRAIN, TESTS))
    return first, second


def has_masks(folder: Path, inner: Sequence[str]) -> bool:
    """Whether the folder, or one in it for training or testing, has images/ and masks/. inner: names of those in it."""
    train, tests = parts(inner)
    return bool(masked_in(folder.parent, [folder.name]) or masked_in(folder, [*train, *tests]))


def masked_in(folder: Path, names: Iterable[str]) -> list[Path]:
    """Those of the folders with these names in `folder` that have images/ and masks/."""
    places = [folder / name for name in names]
    return [place for place in places if is_folder(place / IMAGES) and is_folder(place / MASKS)]


def files(folder: Path, top: Path | None = None) -> Files:
    """The pictures of <folder>/<class>/**, sorted as torchvision's ImageFolder sorts them; classes are sorted names.

    A symbolic link is followed if it leads into `top` (default: the folder) or into one that is allowed, else left out;
    so is what is no regular file.
    """
    own = top or folder
    require_inside(folder, own)
    paths: list[str] = []
    labels: list[int] = []
    skipped: list[Skipped] = []
    classes: list[str] = []
    for name in folders_in(folder):
        found = sorted(_walk(folder / name, own, skipped))
        if found:
            classes.append(told(name))
            paths += [path for _, _, path in found]
            labels += [len(classes) - 1] * len(found)
    _require_classes(folder, classes, skipped)
    return Files(folder, tuple(classes), tuple(paths), tuple(labels), tuple(skipped))


def pictures_below(folder: Path, top: Path) -> tuple[list[str], list[Skipped]]:
    """Paths of the pictures below `folder`, sorted; and what was left out: it leads out of `top`, or is no file.

    Raises BadData where the folder itself leads out of it.
    """
    require_inside(folder, top)
    skipped: list[Skipped] = []
    found = sorted(_walk(folder, top, skipped))
    return [path for _, _, path in found], skipped


def require_inside(path: Path, top: Path) -> None:
    """BadData where the folder or file `path` leads out of `top`: see `leads_out`."""
    if leads_out(path, top):
        raise BadData(f"{told(path)} is {LINK_OUT}.")


def leads_out(path: Path, top: Path) -> bool:
    """Whether `path`, once all links are followed, lies neither in `top` nor in a folder that is allowed."""
    target = _resolved(path)
    return not (target.is_relative_to(_resolved(top)) or any(target.is_relative_to(root) for root in roots()))


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What the folder holds; BadData where it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        raise BadData(f"There is no folder {told(folder)}; check its path.") from None
    except NotADirectoryError:
        raise BadData(f"{told(folder)} is no folder; give one with a subfolder of pictures for each class.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadData(f"The folder {told(folder)} cannot be read ({reason}); change its rights or its path.") from None


def is_folder(path: Path | os.DirEntry[str]) -> bool:
    """Whether there is such a folder; False too where that cannot be known."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file; False too where that cannot be known."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def told(path: object) -> str:
    """A path as text that any terminal and any JSON can hold."""
    text = os.fsencode(str(path)).decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _walk(folder: Path, top: Path, skipped: list[Skipped]) -> Iterator[tuple[str, str, str]]:
    """(folder, name, path to open) of each picture below `folder`; what cannot be read goes to `skipped`."""
    stack = [folder]
    count = 0
    while stack:
        place = stack.pop()
        if place.is_symlink() and leads_out(place, top):
            skipped.append((told(place), LINK_OUT))
            continue
        for entry in entries(place):
            if entry.is_dir(follow_symlinks=False):
                stack += [] if is_hidden(entry.name) else [Path(entry.path)]
            elif not entry.name.lower().endswith(ENDINGS):
                continue
            elif reason := _unfit(entry, top):
                skipped.append((told(entry.path), reason))
            else:
                count += 1
                if count > MOST_FILES:
                    raise BadData(f"The folder {told(folder)} holds more than {MOST_FILES:,} pictures; use a part.")
                yield str(place), entry.name, entry.path


def _unfit(entry: os.DirEntry[str], top: Path) -> str:
    """Why what is called as a picture cannot be read as one; nothing where it can be. Opens no file."""
    if entry.is_symlink() and leads_out(Path(entry.path), top):
        return LINK_OUT
    try:
        if not entry.is_file():
            entry.stat()  # says what is wrong with a link to nothing
            return NO_FILE
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; links to folders count, hidden ones do not."""
    return sorted(entry.name for entry in entries(folder) if not is_hidden(entry.name) and is_folder(entry))


def is_hidden(name: str) -> bool:
    """Whether a folder is no class but what a file manager, a notebook or an archive has left, such as thumbnails."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir")


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return Path("/dev/null")  # a circle of links: nowhere allowed


def _require_classes(folder: Path, classes: list[str], skipped: list[Skipped]) -> None:
    if len(classes) > 1:
        return
    shown, form = told(folder), "give a folder with a subfolder of pictures for each class"
    if classes:
        raise BadData(f"The folder {shown} holds one class only, {classes[0]!r}: nothing can be told apart; {form}.")
    if skipped:
        name, reason = skipped[0]
        raise BadData(f"The folder {shown} holds no picture that may be read; the first, {name}: {reason}.")
    names = [entry.name for entry in entries(folder)]
    if any(name.lower().endswith(ENDINGS) for name in names):
        raise BadData(f"The folder {shown} holds pictures without classes; {form}.")
    raise BadData(f"The folder {shown} holds no pictures ({', '.join(ENDINGS)}); {form}.")
