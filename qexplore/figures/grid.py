"""The points of a uniform grid, for drawing (the engine's own are in qexplore.numerics; a test keeps them equal)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Grid:
    """Integer codes first..last, each worth scale · (code − zero)."""

    scale: float
    zero: int
    first: int
    last: int

    @property
    def low(self) -> float:
        return self.scale * (self.first - self.zero)

    @property
    def high(self) -> float:
        return self.scale * (self.last - self.zero)

    def points(self) -> Values:
        codes: Values = np.arange(self.first, self.last + 1, dtype=float)
        return self.scale * (codes - self.zero)

    def rounded(self, x: Values) -> Values:
        """x on the grid, in x's shape and unit; halves go to the even code."""
        codes = np.rint(np.asarray(x, float) / self.scale) + self.zero
        inside: Values = np.clip(codes, self.first, self.last)
        return self.scale * (inside - self.zero)

    def sqnr_db(self, x: Values) -> float:
        """Total signal over total noise, in dB; inf without noise."""
        noise = float(np.square(np.asarray(x, float) - self.rounded(x)).sum())
        signal = float(np.square(np.asarray(x, float)).sum())
        return 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else math.inf

    def split(self, x: Values) -> tuple[float, float]:
        """Mean squared error by rounding and by clipping, in the unit of x squared."""
        x = np.asarray(x, float)
        square = np.square(x - self.rounded(x))
        outside = (x < self.low) | (x > self.high)
        return float(np.where(outside, 0.0, square).mean()), float(np.where(outside, square, 0.0).mean())

    def clipped(self, x: Values) -> float:
        """Fraction of elements outside the grid."""
        x = np.asarray(x)
        return float(((x < self.low) | (x > self.high)).mean()) if x.size else 0.0


def grid(
    low: float, high: float, bits: int, *, symmetric: bool = False, signed: bool = True, power_of_two: bool = False
) -> Grid:
    """The grid that spans [low, high], extended to hold zero (white paper §2.2).

    Asymmetric: codes 0…2^b − 1 with an integer zero point. Symmetric signed: −2^(b−1)…2^(b−1) − 1; unsigned 0…2^b − 1.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    levels = 2**bits
    if not symmetric:
        scale = _scale((high - low) / (levels - 1), power_of_two)
        return Grid(scale, int(np.clip(np.rint(-low / scale), 0, levels - 1)), 0, levels - 1)
    if signed:
        half = levels // 2
        top = high / (half - 1) if half > 1 else 0.0  # one signed bit has the codes -1 and 0 alone
        return Grid(_scale(max(-low / half, top), power_of_two), 0, -half, half - 1)
    return Grid(_scale(high / (levels - 1), power_of_two), 0, 0, levels - 1)


def _scale(scale: float, power_of_two: bool) -> float:
    """A usable step; an empty range gives 1, on which zero is exact. The tolerance is that of a float32 logarithm."""
    scale = scale if scale > _TINY else 1.0
    return float(2.0 ** math.ceil(math.log2(scale) - 1e-5)) if power_of_two else scale
