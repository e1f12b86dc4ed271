"""The images of a task, in up to three disjoint parts."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, SupportsIndex

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from qexplore.errors import QexploreError, UnknownName
from qexplore.plain import interval as interval_of
from qexplore.report import Report
from qexplore.zoo.augmentation import STILL, Moves
from qexplore.zoo.errors import BadData
from qexplore.zoo.gathering import gathered, numbers_of
from qexplore.zoo.image_files import Skipped
from qexplore.zoo.picture_part import Pictures
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.sources import Batch, joined, known_length, pair, regroup, require_below, stream, tensor_pair

PARTS = ("train", "calibration", "evaluation")
TOLD = 10  # skipped pictures that are named one by one


class Data:
    """Training, calibration and evaluation images; a part is a Dataset, a DataLoader or (X, y), or None.

    X: floating-point images [N, …], taken as float32. Parts should be disjoint.
    y: class numbers [N]; or masks [N, H, W] with one for each pixel, 255 where none counts.
    Tensors are checked at once, the rest as it comes; what cannot be used raises BadData.
    Of a loader the data set, collate function and workers are used; its batch size, shuffling and drop_last are not.
    A loader with a sampler of its own (other than a random or a subset one) is read as it stands.
    A data set whose transforms are random gives other images each time; results are then not repeatable.
    classes: names of the classes, if there are any.
    interval: least and greatest value that the images can have, if that is known; recipes without images need it.
    preprocessing, source: what pictures go through and what a user calls them; None and "" for images of your own.
    notices: sentences on what was chosen when the images were opened.
    moves: how training images are moved where a recipe does not say.
    """

    def __init__(
        self,
        train: Any = None,
        calibration: Any = None,
        evaluation: Any = None,
        *,
        classes: tuple[str, ...] | None = None,
        interval: tuple[float, float] | None = None,
        preprocessing: Preprocessing | None = None,
        source: str = "",
        skipped: tuple[Skipped, ...] = (),
        notices: tuple[str, ...] = (),
        moves: Moves = STILL,
    ) -> None:
        self.train = _opened("train", train)
        self.calibration = _opened("calibration", calibration)
        self.evaluation = _opened("evaluation", evaluation)
        self.classes = None if classes is None else tuple(classes)
        self.interval = None if interval is None else _ends(interval)
        self.preprocessing, self.source, self.notices = preprocessing, source, notices
        self.moves = moves
        self._skipped = skipped
        self._counts: dict[str, int] = {}

    def batches(self, part: str, size: int = 128, limit: int | None = None) -> Iterator[Batch]:
        """Iterator over (x, y) of `size` images, always in the same order; at most `limit` images.

        The last batch may have fewer. Each batch is the caller's own: changing it in place changes nothing here.
        """
        source = self._part(part)
        _positive("size", size)
        if limit is not None:
            _positive("limit", limit)
        if tensor_pair(source):
            return _slices(source, size, limit)
        if isinstance(source, Pictures):
            return source.batches(size, limit)
        return regroup(stream(source, size if limit is None else min(size, limit), part), size, limit)

    def batch_of(self, part: str, index: Sequence[int] | Tensor) -> Batch:
        """The images with these numbers, x [k, …] and y [k] in the order of `index`; numbers may come twice.

        Number i is the i-th image of `batches`. The batch is the caller's own. Pictures are decoded before the first
        is given, since only then it is known which can be read; `prepare` does so with progress.
        Raises BadData for a loader that only knows the next image, QexploreError for a number that no image has.
        """
        source = self._part(part)
        if isinstance(source, Pictures):
            source.decode_once()
        numbers = numbers_of(index, self.count(part), part)
        if tensor_pair(source):
            return source[0][numbers], source[1][numbers]
        return source.batch_of(numbers.numpy()) if isinstance(source, Pictures) else gathered(source, numbers, part)

    def count(self, part: str) -> int:
        """Number of images of the part; of pictures that are not decoded yet, those that are listed."""
        source = self._part(part)
        if isinstance(source, Pictures):
            return len(source)
        if part not in self._counts:
            known = len(source[0]) if tensor_pair(source) else known_length(source)
            self._counts[part] = sum(len(x) for x, _ in self.batches(part)) if known is None else known
        return self._counts[part]

    def tensors(self, part: str, limit: int | None = None) -> Batch:
        """The part's first `limit` images (or all) at once: x [N, …], y [N]."""
        source = self._part(part)
        if isinstance(source, Pictures):
            return next(source.batches(len(source), limit))
        return joined(list(self.batches(part, limit=limit)))

    def has(self, part: str) -> bool:
        """Whether the part was given."""
        if part not in PARTS:
            raise UnknownName("data part", part, PARTS)
        return getattr(self, part) is not None

    def relabelled(self, numbers: Sequence[int]) -> Data:
        """The same images with class numbers[i] where it was i; without names of classes, which were those of i.

        BadData for a part that is neither pictures nor tensors.
        """
        made = copy.copy(self)
        made.classes = None
        for part in PARTS:
            setattr(made, part, _relabelled(self._given(part), numbers, part))
        return made

    def noticing(self, sentence: str) -> Data:
        """The same images with one more sentence on what was chosen."""
        made = copy.copy(self)
        made.notices = (*self.notices, sentence)
        return made

    def require_classes(self, classes: int) -> None:
        """BadData where labels, as far as they are at hand, are no outputs of a network with so many `classes`."""
        for part in PARTS:
            source = self._given(part)
            if isinstance(source, Pictures):
                source.require_classes(classes)
            elif tensor_pair(source) and source[1].dim() == 1:
                require_below(int(source[1].max()), classes, f"the labels of the {part} part")

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """(name, reason) of each picture that was left out: not followed when listed, or unreadable when decoded."""
        parts = [part for part in map(self._given, PARTS) if isinstance(part, Pictures)]
        return (*self._skipped, *(one for part in parts for one in part.skipped))

    def prepare(self, report: Report | None = None, parts: Sequence[str] = PARTS, limit: int | None = None) -> None:
        """Decodes the pictures of `parts` now, at most `limit` of each, with progress; other images need nothing.

        Sends what was chosen and what was skipped as events "log" and "skipped".
        """
        report = report or Report()
        for part in parts:
            source = self._given(part)
            if isinstance(source, Pictures):
                source.decode(report, f"decoding {part} pictures", limit)
        for notice in self.notices:
            report.event("log", text=notice)
        skipped = self.skipped
        if skipped:
            report.event("skipped", images=len(skipped), files=list(skipped[:TOLD]), text=_left_out(skipped))

    def _given(self, part: str) -> Any:
        return getattr(self, part) if self.has(part) else None

    def _part(self, part: str) -> Any:
        if not self.has(part):
            raise BadData(f"The task has no {part} images; give {part}=… to qx.Data.")
        return getattr(self, part)


def _opened(name: str, part: Any) -> Any:
    if part is None or isinstance(part, Pictures):
        return part
    if tensor_pair(part):
        return pair(part, name)
    indexed = hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, str | bytes | dict)
    if not indexed and not isinstance(part, DataLoader | IterableDataset):
        raise BadData(f"The {name} part is '{type(part).__name__}'; give a Dataset, a DataLoader or tensors (X, y).")
    if known_length(part) == 0:
        raise BadData(f"The {name} part has zero images; give at least one.")
    return part


def _relabelled(part: Any, numbers: Sequence[int], name: str) -> Any:
    if part is None:
        return None
    if isinstance(part, Pictures):
        return part.relabelled(numbers)
    if not tensor_pair(part):
        raise BadData(f"The {name} part is neither pictures nor tensors: its classes cannot be numbered anew.")
    x, y = part
    return x, torch.tensor(numbers)[y]


def _left_out(skipped: Sequence[Skipped]) -> str:
    shown = "; ".join(f"{name}: {reason}" for name, reason in skipped[:TOLD])
    more = f"; and {len(skipped) - TOLD} more" if len(skipped) > TOLD else ""
    return f"{len(skipped)} picture{'s' * (len(skipped) != 1)} left out: {shown}{more}"


def _slices(images: Batch, size: int, limit: int | None) -> Iterator[Batch]:
    x, y = images
    total = len(x) if limit is None else min(limit, len(x))
    for start in range(0, total, size):
        stop = min(start + size, total)
        yield x[start:stop].clone(), y[start:stop].clone()


def _ends(given: object) -> tuple[float, float]:
    ends = interval_of(given)
    if ends is None:
        raise BadData(f"The interval of the images is (least, greatest), two numbers; not {given!r}.")
    return ends


def _positive(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or value.__index__() < 1:
        raise QexploreError(f"The batch {what} is {value!r}; give a whole number of images, 1 or more.")
