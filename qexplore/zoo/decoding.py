"""Pictures of an album as bytes, decoded in parallel; those that cannot be read are named, not fatal."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, UnidentifiedImageError

from qexplore.zoo.albums import Album, without_warnings
from qexplore.zoo.errors import BadData
from qexplore.zoo.preprocessing import Preprocessing

Shape = tuple[int, int, int]


class OtherSize(BadData):
    """Pictures that would have to be stacked have two sizes."""


@without_warnings()
def decode(
    album: Album, preprocessing: Preprocessing, shape: Shape, index: np.ndarray
) -> tuple[np.ndarray, dict[int, str]]:
    """The pictures `index` [k] as uint8 [k, C·H·W (+ H·W of the mask)], and why some of them could not be read.

    The rows of the latter are arbitrary. shape: (channels, height, width) of all of them.
    Raises BadData where pictures have another size.
    """
    rows = np.empty((len(index), record_size(shape, album.masks)), np.uint8)
    places = index.tolist()
    work = [(album, preprocessing, shape, place, row) for place, row in zip(places, rows)]
    # PIL decodes and resizes outside the interpreter's lock: threads cost no more CPU than one after the other.
    with ThreadPoolExecutor(max_workers=_processors()) as threads:
        reasons = list(threads.map(_fill, work))
    return rows, {place: reason for place, reason in zip(places, reasons) if reason is not None}


def record_size(shape: Shape, masks: bool) -> int:
    """Bytes of one picture and, where there are `masks`, of its mask."""
    channels, height, width = shape
    return (channels + masks) * height * width


@without_warnings()
def first_shape(album: Album, preprocessing: Preprocessing) -> Shape:
    """(channels, height, width) of the pictures; those of the first readable one if the preprocessing says none."""
    if preprocessing.size is not None:
        return (preprocessing.channels, *preprocessing.size)
    reasons = []
    for place in range(len(album)):
        try:
            with album.opener(place)[0] as picture:
                channels, height, width = preprocessing.decode(picture).shape
                return channels, height, width
        except Exception as problem:  # named once more when its turn to be decoded comes
            reasons.append(_reason(problem))
    raise none_readable(album, album.names[0], reasons[0])


def none_readable(album: Album, name: str, reason: str) -> BadData:
    """The sentence for an album of which not one picture can be decoded; the first of them and its reason."""
    return BadData(f"None of the {len(album)} pictures of {album.title} can be read; the first, {name}: {reason}.")


def _processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fill(work: tuple[Album, Preprocessing, Shape, int, np.ndarray]) -> str | None:
    """Writes one picture into its row; a reason where it cannot be read."""
    album, preprocessing, shape, place, row = work
    try:
        picture, mask = album.opener(place)
        with picture:
            pixels = preprocessing.decode(picture).numpy()
        _require_size(pixels.shape, shape, album, place)
        row[: pixels.size] = pixels.ravel()
        if mask is not None:
            with mask:
                row[pixels.size :] = _numbers(mask, preprocessing, shape).ravel()
    except OtherSize:
        raise
    except Exception as problem:  # what a decoder raises at broken bytes is not limited to any kind
        return _reason(problem)
    return None


def _numbers(mask: Image.Image, preprocessing: Preprocessing, shape: Shape) -> np.ndarray:
    numbers = preprocessing.decode_mask(mask).numpy()
    if numbers.shape != shape[1:]:
        raise ValueError(f"its mask has {numbers.shape[0]} × {numbers.shape[1]} pixels, it has {shape[1]} × {shape[2]}")
    return np.asarray(numbers)


def _require_size(found: tuple[int, ...], wanted: Shape, album: Album, place: int) -> None:
    if found != wanted:
        raise OtherSize(
            f"The pictures of {album.title} differ in size: {album.names[place]} has {found[1]} × {found[2]} pixels, "
            f"others {wanted[1]} × {wanted[2]}; give a preprocessing with resize and crop."
        )


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    if isinstance(problem, UnidentifiedImageError):
        return "no picture in a known format"
    return " ".join(str(problem).split())[:200].rstrip(".") or type(problem).__name__
