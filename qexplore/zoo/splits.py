"""Cutting one set of images into disjoint parts that hold the classes in equal proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def balanced(labels: np.ndarray, sizes: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """Indices of disjoint parts of `sizes` images and, as the last part, of all that are left over; each sorted.

    labels: class numbers [N]. Each part has the proportions of the whole, to within one image a class.
    """
    # RandomState's stream is frozen by numpy's promise (NEP 19), so that the parts are the same on every version.
    shuffled = np.random.RandomState(seed).permutation(len(labels))
    share = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        share[members] = (np.arange(len(members)) + 0.5) / len(members)
    # Cutting all classes at the same share of their members keeps the proportions.
    order = np.lexsort((labels, share))
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes))]
