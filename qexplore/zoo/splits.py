"""Cutting one set of images into disjoint parts that hold the classes in equal proportions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qexplore.zoo.errors import BadData

LARGEST_SHARE = 5  # calibration takes at most a fifth: it is there to measure ranges, the rest to learn and to judge


@dataclass(frozen=True)
class Parts:
    """Indices of the images of each part: of the first set, evaluation of the set for tests where there is one."""

    train: np.ndarray | None
    calibration: np.ndarray
    evaluation: np.ndarray
    notices: tuple[str, ...]


def parted(labels: np.ndarray, tests: np.ndarray | None, seed: int, calibration: int) -> Parts:
    """Disjoint, balanced parts, each in a fair order; BadData where there are too few images.

    labels: class numbers [N]. tests: those of images that are for evaluation alone; without them all images that are
    not for calibration are, and none to train on. calibration: images wanted for it.
    """
    if len(labels) < 2:
        raise BadData("There is one image only; give at least two, one for calibration and one for evaluation.")
    wanted = max(1, min(calibration, len(labels) // LARGEST_SHARE))
    notices: tuple[str, ...] = ()
    if wanted < calibration:
        notices = (f"Calibration takes {wanted} of {len(labels)} images, a fifth, where {calibration} were wanted.",)
    held, rest = (part[fair(labels[part], seed)] for part in balanced(labels, (wanted,), seed))
    if tests is None:
        return Parts(None, held, rest, notices)
    return Parts(rest, held, fair(tests, seed), notices)


def balanced(labels: np.ndarray, sizes: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Indices of disjoint parts of `sizes` images and, as the last part, of all that are left over; each sorted.

    labels: class numbers [N]. Each part has the proportions of the whole, to within one image a class.
    """
    # Cutting all classes at the same share of their members keeps the proportions.
    order = np.lexsort((labels, _shares(labels, _shuffled(len(labels), seed))))
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes))]


def fair(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """An order of all images, drawn by `seed`, of which every beginning is a fair sample; indices [N].

    labels: class numbers [N]. The first n images hold the classes in the proportions of the whole, to within one image
    a class; which classes come first where n is below their number is drawn too.
    """
    shuffled = _shuffled(len(labels), seed)
    return np.lexsort((np.argsort(shuffled), _shares(labels, shuffled)))


def _shuffled(count: int, seed: int) -> np.ndarray:
    # RandomState's stream is frozen by numpy's promise (NEP 19), so that the parts are the same on every version.
    return np.random.RandomState(seed % 2**32).permutation(count)


def _shares(labels: np.ndarray, shuffled: np.ndarray) -> np.ndarray:
    """For each image the middle of its place among those of its class, in the shuffled order, in (0, 1)."""
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]  # class by class
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    share = np.empty(len(labels))
    share[order] = (np.arange(len(order)) - np.repeat(starts, sizes) + 0.5) / np.repeat(sizes, sizes)
    return share
