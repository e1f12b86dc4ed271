"""How much a tensor loses on a grid: SQNR, and the error split into rounding and clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.numerics.grid import Range, grid_of
from qexplore.numerics.spec import Spec


@dataclass(frozen=True)
class QuantizationError:
    """Mean squared error of a quantized tensor, unit of the tensor squared, split by its cause (white paper §2.2).

    clipping: from elements outside the reals that the grid spans; rounding: from all others.
    """

    rounding: float
    clipping: float
    signal: float

    @property
    def mse(self) -> float:
        return self.rounding + self.clipping

    @property
    def sqnr_db(self) -> float:
        """Signal power over noise power in dB; infinite where nothing is lost."""
        return sqnr_db(self.signal, self.mse)


def sqnr_db(signal: float, noise: float) -> float:
    """10 log10(signal / noise) of two powers, totals over one and the same set; inf without noise, NaN where either is
    not known.
    """
    if math.isnan(signal) or math.isnan(noise):
        return math.nan
    if noise <= 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def quantization_error(x: Tensor, spec: Spec, interval: Range) -> QuantizationError:
    """Error of `x`, any shape, on the grid of `spec` over `interval`; sums in float64.

    Raises QexploreError for an empty tensor.
    """
    if x.numel() == 0:
        raise QexploreError("The tensor is empty: an error needs at least one number.")
    x, grid = x.detach(), grid_of(spec, interval)
    rows = spec.slices(x.float())
    square = (grid.values(grid.codes(rows)) - rows).double().square_()
    span = grid.span
    outside = (rows < span.lo[:, None]) | (rows > span.hi[:, None])
    clipping = float(square[outside].sum()) / x.numel()
    total = float(square.sum()) / x.numel()
    return QuantizationError(max(total - clipping, 0.0), clipping, float(x.double().square().mean()))
