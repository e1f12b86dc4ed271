"""Short names for the arrays that the allocation computes with, and columns of a table as such arrays."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


def numbers_of(values: NDArray[Any]) -> Floats:
    """A column as float64, NaN where an entry is no number."""
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        return np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=np.float64)
