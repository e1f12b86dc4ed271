"""Fewer points that look the same, and a calmer line through noisy ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

MOST = 600  # points of a curve: more than its pixels show


def thin(table: pd.DataFrame, y: str, most: int = MOST) -> pd.DataFrame:
    """At most `most` rows, in order: of each of most / 2 equal parts the rows with the least and the greatest `y`."""
    if len(table) <= most:
        return table
    values = table[y].to_numpy(float)
    kept: set[int] = {0, len(table) - 1}
    for part in np.array_split(np.arange(len(table)), max(1, most // 2 - 1)):
        kept |= {int(part[np.argmin(values[part])]), int(part[np.argmax(values[part])])}
    return table.iloc[sorted(kept)]


def smooth(values: pd.Series, share: float = 0.02) -> pd.Series:
    """Exponential moving average over `share` of all points (project's own choice), without a bias to the first."""
    return values.ewm(span=max(3.0, share * len(values)), adjust=True).mean()


def every(count: int, most: int) -> list[int]:
    """At most `most` of the numbers below `count`, evenly spread, the first and the last among them."""
    return list(range(count)) if count <= most else sorted({round(i) for i in np.linspace(0, count - 1, most)})
