"""Pictures that nobody has decoded yet: what they are called, their classes, and how one is opened."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from qexplore.zoo.errors import BadData
from qexplore.zoo.image_files import Skipped, told
from qexplore.zoo.preprocessing import IGNORED, LARGEST_PICTURE, Preprocessing

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
_VERSION = 2  # of what decoding makes of a picture: what an older one has left in the cache is decoded anew
_MASKS = 8  # that are looked at before all are decoded
T = TypeVar("T")
Opened = tuple[Image.Image, Image.Image | None]


@dataclass(frozen=True)
class Album:
    """Pictures by number.

    title: where they come from, for sentences. digest: changes when any of them changes. labels: class numbers [N];
    zeros where each has a mask. names: one each. opener: number in, picture (and mask) out; may raise anything.
    """

    title: str
    digest: str
    labels: np.ndarray
    names: Sequence[str]
    opener: Callable[[int], Opened]
    masks: bool = False
    classes: int | None = None  # masks hold class numbers below this, or 255

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Albums:
    """What a source gives: one album to be cut into parts, or one to train and one to test."""

    first: Album
    test: Album | None
    classes: tuple[str, ...] | None
    skipped: tuple[Skipped, ...] = ()
    notices: tuple[str, ...] = ()


@contextmanager
def without_warnings() -> Iterator[None]:
    """What PIL has to say of many pixels is not printed: LARGEST_PICTURE is below, and is told in a sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def open_file(path: str) -> Image.Image:
    """The picture of a file, read as far as its header; ValueError for one that is too large to decode."""
    picture = Image.open(path, formats=FORMATS)
    if picture.width * picture.height > LARGEST_PICTURE:
        picture.close()
        raise ValueError(f"it has {picture.width} × {picture.height} pixels, more than {LARGEST_PICTURE:,}")
    return picture


def file_album(title: str, paths: Sequence[str], labels: Sequence[int]) -> Album:
    """The pictures of files with a class each."""
    names = _Told(paths)
    return Album(title, digest_of(paths), np.array(labels, np.int64), names, lambda i: (open_file(paths[i]), None))


def digest_of(paths: Iterable[str]) -> str:
    """A digest over paths, sizes and times of change; BadData where a file has gone."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            facts = os.stat(path)  # noqa: PTH116 - a Path for each of a million files takes seconds
        except OSError as error:
            raise BadData(
                f"The picture {told(path)} cannot be found ({error.strerror}); open the folder anew."
            ) from None
        digest.update(os.fsencode(path) + f"\0{facts.st_size} {facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def black_and_white(found: Albums) -> tuple[str, ...]:
    """A sentence where masks, the first few of each album, hold nothing but 0 and 255; opens these."""
    albums = [album for album in (found.first, found.test) if album is not None and album.masks]
    numbers: set[int] = set()
    for album in albums:
        for place in range(min(len(album), _MASKS)):
            with suppress(Exception):  # what cannot be read is named when its turn to be decoded comes
                picture, mask = album.opener(place)
                with picture, cast(Image.Image, mask) as shown:
                    numbers |= set(np.unique(np.asarray(shown, np.uint8)).tolist())
    if numbers != {0, IGNORED}:
        return ()
    return (
        f"The masks of {albums[0].title} hold only 0 and 255, and pixels of 255 are not counted: where it means the "
        "foreground, write it as 1.",
    )


def key_of(album: Album, preprocessing: Preprocessing) -> str:
    """The name under which decoded pictures of the album are kept."""
    form = json.dumps([album.digest, preprocessing.to_document() | {"mean": None, "std": None}, album.masks, _VERSION])
    return hashlib.sha256(form.encode()).hexdigest()[:32]


class _Told(Sequence[str]):
    """Paths as printable text, made when asked for."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return told(self._paths[index])
