"""How many elements of a pruned weight are kept, in whole numbers, from the share that a table tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qexplore.allocate.arrays import Floats, Ints, numbers_of
from qexplore.errors import QexploreError


def read_sparsity(said: NDArray[Any], names: NDArray[Any]) -> Floats:
    """The shares of pruned elements [S], 0 where none is told; QexploreError for what is no share below 1."""
    shares = np.where(np.asarray(pd.isna(said), dtype=np.bool_), 0.0, numbers_of(said))
    wrong = ~((shares >= 0) & (shares < 1))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise QexploreError(
            f"Column 'sparsity' of site {names[at]!r} must be the share of pruned elements, at least 0 and below 1, "
            f"not {said[at]}."
        )
    return shares


def kept_elements(numel: Ints, sparsity: Floats, tied: tuple[str, ...], names: NDArray[Any]) -> Ints:
    """Elements [S] that are kept: numel less the pruned ones, which are sparsity · numel.

    A share is the quotient of two whole numbers below 2^42, so that its product with the second is the first after
    rounding. Of a weight that sites share each has a part of the elements: the parts are counted one after the other,
    so that their sum is right.
    """
    _, group = np.unique(np.asarray(tied, dtype=object), return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(numel[order])
    start = ends - numel[order]
    fresh = np.diff(group[order], prepend=-1) > 0
    offset = np.maximum.accumulate(np.where(fresh, start, 0))
    pruned = np.empty_like(numel)
    shares = sparsity[order]
    pruned[order] = np.rint((ends - offset) * shares) - np.rint((start - offset) * shares)
    kept: Ints = numel - pruned
    left = np.bincount(group, weights=kept)[group]
    if (left < 1).any():
        at = int(np.flatnonzero(left < 1)[0])
        raise QexploreError(f"All elements of site {names[at]!r} are pruned; a site keeps at least one.")
    return kept
