"""From a range to a grid, and from real numbers to its codes and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.numerics.spec import Spec


@dataclass(frozen=True)
class Range:
    """The interval [lo, hi] that a grid spans, one value for each slice, in the unit of the tensor."""

    lo: Tensor
    hi: Tensor

    def around_zero(self) -> Range:
        """The smallest range that holds this one and 0."""
        return Range(self.lo.clamp(max=0), self.hi.clamp(min=0))


@dataclass(frozen=True)
class Grid:
    """Scale (unit of the tensor for each code) and integer zero point, one value a slice: x ≈ scale * (code - zero)."""

    scale: Tensor
    zero: Tensor
    qmin: int
    qmax: int

    @property
    def span(self) -> Range:
        """The reals that the grid reaches without clipping."""
        return Range(self.scale * (self.qmin - self.zero), self.scale * (self.qmax - self.zero))

    def codes(self, rows: Tensor) -> Tensor:
        """Integer codes, as floats, of [slices, elements]; round half to even, then clamp."""
        return (rows / self.scale[:, None]).round_().add_(self.zero[:, None]).clamp_(self.qmin, self.qmax)

    def stored(self, rows: Tensor) -> Tensor:
        """The codes in the smallest type of whole numbers that holds those of the grid."""
        kinds = (torch.int8, torch.uint8, torch.int16, torch.int32)
        fits = (kind for kind in kinds if torch.iinfo(kind).min <= self.qmin and self.qmax <= torch.iinfo(kind).max)
        return self.codes(rows).to(next(fits))

    def values(self, codes: Tensor) -> Tensor:
        """The reals of [slices, elements] codes."""
        return (codes - self.zero[:, None]).mul_(self.scale[:, None])


def grid_of(spec: Spec, interval: Range) -> Grid:
    """The grid of `spec` that spans `interval` (widened to hold 0; white paper §2.2).

    Asymmetric: scale = (hi - lo) / (2^bits - 1), zero point rounded. Symmetric: the least scale that reaches both
    ends, as far as the grid has codes on that side. Power of two: that scale rounded up to 2^k. An empty range gives
    scale 1, on which 0 is exact.
    """
    wide = Range(torch.as_tensor(interval.lo).float().reshape(-1), torch.as_tensor(interval.hi).float().reshape(-1))
    wide = wide.around_zero()
    if not spec.symmetric:
        width = wide.hi.double() - wide.lo.double()  # of two large floats it may be no float any more
        scale = _positive((width / (spec.qmax - spec.qmin)).float())
        zero = (spec.qmin - (wide.lo / scale).round()).clamp(spec.qmin, spec.qmax)
        return Grid(scale, zero, spec.qmin, spec.qmax)
    # One signed bit has the codes -1 and 0 alone: no scale reaches a positive end.
    scale = wide.hi / spec.qmax if spec.qmax else torch.zeros_like(wide.hi)
    if spec.qmin < 0:
        scale = torch.maximum(scale, wide.lo / spec.qmin)
    scale = _positive(scale)
    if spec.power_of_two:
        scale = power_of_two(scale)
    return Grid(scale, torch.zeros_like(scale), spec.qmin, spec.qmax)


def power_of_two(scale: Tensor) -> Tensor:
    """The scale rounded up to 2^k."""
    # A scale that is 2^k already must stay: the tolerance is the error of a float32 logarithm.
    return torch.exp2(torch.ceil(torch.log2(scale) - 1e-5))


def integers(x: Tensor, spec: Spec, interval: Range) -> Tensor:
    """Integer codes of `x` (int32, same shape) on the grid of `spec` over `interval`: clamp(round(x / scale) +
    zero).
    """
    rows = spec.slices(x.float())
    return spec.unslice(_grid_for(rows, spec, interval).codes(rows), x.shape).to(torch.int32)


def quantize(x: Tensor, spec: Spec, interval: Range) -> Tensor:
    """`x` rounded to the grid of `spec` over `interval` and back: the dequantized tensor, same shape and unit."""
    rows = spec.slices(x.float())
    grid = _grid_for(rows, spec, interval)
    return spec.unslice(grid.values(grid.codes(rows)), x.shape)


def _grid_for(rows: Tensor, spec: Spec, interval: Range) -> Grid:
    """The grid over `interval`, which has one value for all `rows` or one each; QexploreError otherwise."""
    grid = grid_of(spec, interval)
    if len(grid.scale) not in (1, len(rows)):
        raise QexploreError(
            f"The range has {len(grid.scale)} values and the tensor {len(rows)} slices (granularity "
            f"{spec.granularity!r}): estimate the range with the same granularity."
        )
    return grid


def _positive(scale: Tensor) -> Tensor:
    return torch.where(scale > torch.finfo(torch.float32).tiny, scale, torch.ones_like(scale))
