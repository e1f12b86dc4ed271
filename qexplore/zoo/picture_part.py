"""One part of a task's images, kept as pictures: decoded when first needed, normalized batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch

from qexplore.report import Report
from qexplore.zoo.albums import Album, key_of
from qexplore.zoo.decoding import Shape, decode, first_shape, none_readable, record_size
from qexplore.zoo.image_files import Skipped
from qexplore.zoo.picture_cache import PictureCache
from qexplore.zoo.preprocessing import IGNORED, Preprocessing
from qexplore.zoo.sources import Batch, regroup, require_below

WINDOW = 48 * 2**20  # bytes that are decoded or read at once
MOST_AT_ONCE = 256  # pictures


class Shelf:
    """The decoded pictures of an album, on disk; what cannot be read is remembered with its reason."""

    def __init__(self, album: Album, preprocessing: Preprocessing) -> None:
        self.album, self.preprocessing = album, preprocessing
        self.bad: dict[int, str] = {}
        self.classes = album.classes  # masks hold numbers below this, or IGNORED

    @cached_property
    def shape(self) -> Shape:
        return first_shape(self.album, self.preprocessing)

    @cached_property
    def window(self) -> int:
        """Pictures that are handled at once."""
        return max(1, min(MOST_AT_ONCE, WINDOW // record_size(self.shape, self.album.masks)))

    @cached_property
    def _cache(self) -> PictureCache:
        size = record_size(self.shape, self.album.masks)
        return PictureCache(key_of(self.album, self.preprocessing), len(self.album), size)

    def kept(self, index: np.ndarray) -> int:
        """How many of `index` can be read; decodes those that are not on disk, and reads none."""
        there = self._cache.has(index)
        return int(there.sum()) + (0 if there.all() else len(self.records(index[~there])[0]))

    def records(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(those of `index` that can be read [k], their bytes uint8 [k, size]), in the order of `index`."""
        index = np.array([place for place in index.tolist() if place not in self.bad], np.int64)
        if self._cache.has(index).all():
            return index, self._cache.read(index)
        with self._cache.writing():
            there = self._cache.has(index)
            fresh, reasons = decode(self.album, self.preprocessing, self.shape, index[~there])
            good = np.array([place not in reasons for place in index[~there].tolist()], bool)
            self._cache.write(index[~there][good], fresh[good])
        self.bad |= reasons
        rows = np.empty((len(index), fresh.shape[1]), np.uint8)
        rows[~there], rows[there] = fresh, self._cache.read(index[there])
        keep = there.copy()
        keep[~there] = good
        return index[keep], rows[keep]


class Pictures:
    """The pictures `index` [n] of a shelf, always in this order; labels are class numbers, or masks."""

    def __init__(self, shelf: Shelf, index: np.ndarray, numbers: np.ndarray | None = None) -> None:
        """numbers: the class number to give in place of each of the shelf's, [classes]; its own when None."""
        self._shelf, self._index, self._numbers = shelf, index, numbers

    def __len__(self) -> int:
        """Pictures that can be read, as far as is known: which ones cannot shows when they are decoded."""
        return self._listed - sum(place in self._places for place in self._shelf.bad)

    @property
    def _listed(self) -> int:
        return len(self._index)

    @cached_property
    def _places(self) -> frozenset[int]:
        return frozenset(self._index.tolist())

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Name and reason of each picture that turned out to be unreadable."""
        names, bad = self._shelf.album.names, self._shelf.bad
        return tuple((names[place], bad[place]) for place in self._index.tolist() if place in bad) if bad else ()

    def relabelled(self, numbers: Sequence[int]) -> Pictures:
        """The same pictures, with class numbers[i] where it was i."""
        return Pictures(self._shelf, self._index, np.array(numbers, np.int64))

    def require_classes(self, classes: int) -> None:
        """BadData where a label is `classes` or more: now, or for masks when they are read."""
        if self._shelf.album.masks:
            self._shelf.classes = classes
            return
        labels = self._shelf.album.labels if self._numbers is None else self._numbers[self._shelf.album.labels]
        require_below(int(labels.max()), classes, f"the labels of {self._shelf.album.title}")

    def batches(self, size: int, limit: int | None) -> Iterator[Batch]:
        """Normalized float32 images [≤ size, C, H, W] and their labels, at most `limit`; BadData if none is there."""
        for pixels, labels in regroup(self._windows(limit), size, limit):
            yield self._shelf.preprocessing.normalize(pixels), labels.long()

    def batch_of(self, numbers: np.ndarray) -> Batch:
        """Normalized images with these numbers [k] and their labels, in this order; decode_once comes before."""
        good, rows = self._shelf.records(self._readable[numbers])
        pixels, labels = self._batch(good, rows)
        return self._shelf.preprocessing.normalize(pixels), labels.long()

    def decode_once(self) -> None:
        """Decodes what is not on disk yet, so that it is known which pictures can be read; later calls do nothing."""
        if len(self._readable) == 0:
            raise none_readable(self._shelf.album, *self.skipped[0])

    @cached_property
    def _readable(self) -> np.ndarray:
        """The places of the pictures that can be read, [≤ n]; the same in every process."""
        self.decode(Report(), "")
        return np.array([place for place in self._index.tolist() if place not in self._shelf.bad], np.int64)

    def decode(self, report: Report, text: str, limit: int | None = None) -> None:
        """Decodes the pictures now, with progress; what is on disk already costs nothing."""
        total = min(self._listed, limit or self._listed)
        report.progress(0, total, text)
        found, start = 0, 0
        while start < self._listed and found < total:
            index = self._index[start : start + min(self._shelf.window, total - found)]
            found, start = found + self._shelf.kept(index), start + len(index)
            report.progress(found, total, text)

    def _windows(self, limit: int | None) -> Iterator[Batch]:
        """Bytes [k, C, H, W] and labels, window by window, until `limit` pictures could be read."""
        found, start = 0, 0
        while start < self._listed and (limit is None or found < limit):
            wanted = self._shelf.window if limit is None else min(self._shelf.window, limit - found)
            good, rows = self._shelf.records(self._index[start : start + wanted])
            start += wanted
            if len(good):
                found += len(good)
                yield self._batch(good, rows)
        if found == 0:
            raise none_readable(self._shelf.album, *self.skipped[0])

    def _batch(self, good: np.ndarray, rows: np.ndarray) -> Batch:
        channels, height, width = self._shelf.shape
        pixels = torch.from_numpy(rows[:, : channels * height * width]).view(-1, channels, height, width)
        if not self._shelf.album.masks:
            labels = self._shelf.album.labels[good]
            return pixels, torch.from_numpy(labels if self._numbers is None else self._numbers[labels])
        masks = torch.from_numpy(rows[:, channels * height * width :]).view(-1, height, width)
        if self._shelf.classes is not None:
            greatest = int(masks.where(masks != IGNORED, 0).max())
            require_below(greatest, self._shelf.classes, f"the masks of {self._shelf.album.title}")
        return pixels, masks
