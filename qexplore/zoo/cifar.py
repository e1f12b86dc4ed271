"""CIFAR-10 (Krizhevsky 2009) from a folder that the user has: train/<class>/*, test/<class>/*, or torchvision's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import nn

from qexplore.places import WAYS, roots
from qexplore.report import Report
from qexplore.zoo.albums import Albums
from qexplore.zoo.augmentation import Moves
from qexplore.zoo.data import Data
from qexplore.zoo.downloaded import downloaded_albums
from qexplore.zoo.entries import Entry
from qexplore.zoo.errors import DataAbsent
from qexplore.zoo.fitting import Settings, fit_entry
from qexplore.zoo.folders import folder_albums
from qexplore.zoo.image_files import entries, is_folder, leads_out, require_inside
from qexplore.zoo.keeping import Work
from qexplore.zoo.picture_part import Pictures, Shelf
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.splits import balanced, fair

CALIBRATION = 1024
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NAMES = ("", "cifar10", "cifar-10", "cifar", "CIFAR10")
PREPROCESSING = Preprocessing(3, None, None, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
MOVES = Moves(shift=3, flip=True)
RESNET20 = Settings(epochs=45, batch=128, rate=0.15, warmup=6, decay=5e-4, smoothing=0.05, **MOVES._asdict(), half=True)
MOBILENETV2 = Settings(
    epochs=28, batch=128, rate=0.15, warmup=5, decay=5e-4, smoothing=0.05, **MOVES._asdict(), half=True
)


def fit_resnet20(entry: Entry, seed: int, report: Report, work: Work) -> nn.Module:
    """The entry's network, trained on all training images but those for calibration."""
    return fit_entry(entry, seed, report, work, RESNET20)


def fit_mobilenetv2(entry: Entry, seed: int, report: Report, work: Work) -> nn.Module:
    """The entry's network, trained on all training images but those for calibration."""
    return fit_entry(entry, seed, report, work, MOBILENETV2)


def cifar10() -> Data:
    """Training (48,976), calibration (1,024, held out of the training images) and evaluation (10,000) images.

    Values (x / 255 - 0.5) / 0.25, in [-2, 2]; found below the folders whose images may be used, else DataAbsent.
    The training part keeps the order of the files, with which the checkpoints were made; the others are in a fair one.
    """
    found = _found()
    labels = found.first.labels
    calibration, train = balanced(labels, (min(CALIBRATION, len(labels) // 5),))
    first, test = Shelf(found.first, PREPROCESSING), Shelf(found.test or found.first, PREPROCESSING)
    return Data(
        train=Pictures(first, train),
        calibration=Pictures(first, calibration[fair(labels[calibration])]),
        evaluation=Pictures(test, fair(test.album.labels)),
        classes=CLASSES,
        interval=PREPROCESSING.interval,
        preprocessing=PREPROCESSING,
        source="cifar10",
        skipped=found.skipped,
        moves=MOVES,
    )


def lies_in(folder: Path) -> bool:
    """Whether the images of CIFAR-10 are in the folder, or in one directly below it that is called after them."""
    return _first([folder]) is not None


def _found() -> Albums:
    found = _first(roots())
    if found is not None:
        return found
    for folder, top in _candidates(roots()):
        for path in (folder, *_batches(folder)):
            require_inside(path, top)  # better told than "not there"
    looked = ", ".join(map(str, roots())) or "no folder is named"
    raise DataAbsent(
        f"The images of CIFAR-10 are not there (looked in: {looked}): get them as folders train/<class>/ and "
        f"test/<class>/ of pictures or as torchvision's cifar-10-batches-py, and {WAYS}."
    )


def _first(tops: Iterable[Path]) -> Albums | None:
    for folder, top in _candidates(tops):
        if leads_out(folder, top):
            continue
        if all(is_folder(folder / part / CLASSES[0]) for part in ("train", "test")):
            found = folder_albums(folder, len(CLASSES))
            if found.classes == CLASSES:
                return found
        batches = _batches(folder)
        if batches and not any(leads_out(path, top) for path in batches):
            return downloaded_albums("CIFAR10", folder)
    return None


def _candidates(tops: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Folders where the images may lie, each with the allowed one that it must not lead out of."""
    return ((top / name, top) for top in tops for name in NAMES)


def _batches(folder: Path) -> list[Path]:
    """torchvision's own folder in `folder` with the files in it; none where there is no such folder."""
    inner = folder / "cifar-10-batches-py"
    return [inner, *(Path(entry.path) for entry in entries(inner))] if is_folder(inner) else []
