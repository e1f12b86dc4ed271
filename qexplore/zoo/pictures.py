"""A task's images by what a user calls them: a folder, an .npz file, a data set of torchvision, or the zoo's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from qexplore.places import expanded, within
from qexplore.report import Report
from qexplore.zoo.albums import Albums, black_and_white
from qexplore.zoo.data import Data
from qexplore.zoo.downloaded import downloaded_albums
from qexplore.zoo.entries import resolve
from qexplore.zoo.errors import BadData
from qexplore.zoo.folders import folder_albums
from qexplore.zoo.npz import npz_albums
from qexplore.zoo.picture_part import Pictures, Shelf
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.ready import is_ready, ready_data
from qexplore.zoo.sources import require_below, require_several
from qexplore.zoo.splits import parted

KINDS = ("folder", "npz", "torchvision")
OWN = {"digits": "qexplore.zoo.digits:digits", "cifar10": "qexplore.zoo.cifar:cifar10"}


def open_data(
    source: str,
    preprocessing: Preprocessing | None = None,
    *,
    classes: int | None = None,
    seed: int = 0,
    calibration: int = 1024,
    report: Report | None = None,
    confined: bool = False,
) -> Data:
    """The images called `source`, in disjoint parts drawn by `seed`, each ordered so that any beginning is fair.

    source: "folder:PATH" or a path (<class>/*, train/<class>/* with test/ or val/, images/* with masks/*),
    "npz:FILE.npz" (x, y; images, labels; x_train, y_train, x_test, y_test), "torchvision:NAME" or
    "torchvision:NAME@ROOT", "digits", "cifar10".
    preprocessing: the network's own; needed for all but the zoo's own images and ready inputs.
    classes: outputs of the network. calibration: images wanted for it; at most a fifth of all is taken.
    Where the images have a part for tests, that is the evaluation part, and calibration is held out of the other; else
    all that is not for calibration is for evaluation.
    confined: paths must lie in folders that are allowed, else OutsideRoots.
    Raises BadData, DataAbsent or UnknownName. Nothing but the first few masks is decoded yet: `Data.prepare` does that,
    or whoever reads first.
    """
    report = report or Report()
    if source in OWN:
        return cast(Data, resolve(OWN[source])())
    kind, rest = kind_of(source)
    report.progress(0, 1, "looking for images")
    if kind == "npz" and is_ready(path := _place(rest, confined)):
        data = ready_data(path, source, classes, seed, calibration)
    elif preprocessing is None:
        raise BadData(f"The pictures of {source!r} need a preprocessing: give Preprocessing(channels, resize, …).")
    else:
        found = _albums(kind, rest, preprocessing, classes, confined)
        data = _pictures(found, source, preprocessing, seed, calibration)
    report.progress(1, 1, "looking for images")
    return data


def kind_of(source: str) -> tuple[str, str]:
    """(kind, the rest) of "kind:rest"; what names no kind is a folder, or a file that ends in .npz."""
    kind, colon, rest = source.partition(":")
    if not colon or kind not in KINDS:
        kind, rest = ("npz" if source.lower().endswith(".npz") else "folder"), source
    if not rest.strip():
        raise BadData(f"The images {source!r} name no place; write folder:PATH, npz:FILE or torchvision:NAME.")
    return kind, rest


def _place(path: str, confined: bool) -> Path:
    if "\0" in path:
        raise BadData(f"The path {path!r} cannot exist; check it.")
    return within(path) if confined else expanded(path).absolute()


def _albums(kind: str, rest: str, preprocessing: Preprocessing, classes: int | None, confined: bool) -> Albums:
    if kind == "torchvision":
        _, at, root = rest.partition("@")
        return _in_range(downloaded_albums(rest, _place(root, confined) if at else None), classes)
    path = _place(rest, confined)
    if kind == "npz":
        return _in_range(npz_albums(path, preprocessing.channels, classes), classes)
    return folder_albums(path, classes)


def _in_range(found: Albums, classes: int | None) -> Albums:
    """The same albums; BadData where a label is no output of the network, or all are the same."""
    for album in (found.first, found.test):
        if album is not None and int(album.labels.min()) < 0:
            raise BadData(f"The labels of {album.title} hold {int(album.labels.min())}; class numbers start at 0.")
        if album is not None and classes is not None:
            require_below(int(album.labels.max()), classes, f"the labels of {album.title}")
        if album is not None and not album.masks:
            require_several(int(album.labels.min()), int(album.labels.max()), f"the labels of {album.title}")
    return found


def _pictures(found: Albums, source: str, preprocessing: Preprocessing, seed: int, calibration: int) -> Data:
    preprocessing, notices = _settled(preprocessing)
    parts = parted(found.first.labels, None if found.test is None else found.test.labels, seed, calibration)
    first = Shelf(found.first, preprocessing)
    test = first if found.test is None else Shelf(found.test, preprocessing)
    return Data(
        train=None if parts.train is None else Pictures(first, parts.train),
        calibration=Pictures(first, parts.calibration),
        evaluation=Pictures(test, parts.evaluation),
        classes=found.classes,
        interval=preprocessing.interval,
        preprocessing=preprocessing,
        source=source,
        skipped=found.skipped,
        notices=(*found.notices, *black_and_white(found), *notices, *parts.notices),
    )


def _settled(preprocessing: Preprocessing) -> tuple[Preprocessing, tuple[str, ...]]:
    """The same with one size for all pictures, where it only says how long the shorter side is; and a word on that."""
    side = preprocessing.resize
    if preprocessing.size is not None or not isinstance(side, int):
        return preprocessing, ()
    notice = f"Pictures come in one size: the centre {side} × {side} is cut out of what the network's own would leave."
    return replace(preprocessing, crop=side), (notice,)
