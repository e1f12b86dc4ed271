"""The range of least squared error: a coarse geometric search over clip points, then finer ones around the best."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.numerics.grid import Range, grid_of
from qexplore.numerics.rows import TAIL, Rows
from qexplore.numerics.spec import Spec

# Fractions of the full range. Long tails at two bits put the optimum far below one half; 2^-6.4 is about 1 %.
COARSE = torch.exp2(-0.4 * torch.arange(17))
COARSE_PAIRS = torch.exp2(-0.7 * torch.arange(9))
FINE = (torch.linspace(-0.4, 0.4, 9), torch.linspace(-0.09, 0.09, 19), torch.linspace(-0.01, 0.01, 9))  # octaves
# The error of few elements is no smooth curve: its lowest valley is found only by looking everywhere.
SHORT = 64
FINE_SHORT = (torch.linspace(-0.5, 0.4, 129), torch.linspace(-0.007, 0.007, 7))
FINE_PAIRS = (torch.linspace(-0.6, 0.6, 7), torch.linspace(-0.15, 0.15, 7), torch.linspace(-0.04, 0.04, 5))


# Rare massive elements can put the optimum far below that. Where the full range is OUTLYING times the core (all
# elements but a thousandth on each side) or more, the search starts again within a range DEEPER times smaller, but not
# smaller than WIDER times the core. Of a range less than OUTLYING times the core the search reaches a third of the core
# in any case; and where more than a thousandth lie further out than it reaches, they are worth their room: to clip one
# costs over a thousand times the mean square of the core, which is all that rounding can lose there.
OUTLYING = 16
DEEPER = 32  # less than the search reaches down, so that no place stays between
WIDER = 2


# Errors of candidates: (scale, zero point, least code, greatest code), the first two [rows, candidates].
Errors = Callable[[Tensor, Tensor, int, int], Tensor]


def least_squares_range(rows: Rows, spec: Spec) -> Range:
    """A range (lo, hi) of small squared error of each row, searched from coarse to fine: near the least, as far as has
    been tried, though no search proves that.

    Its error is exact and no larger than that of the full range; only among powers of two with more than 2^8 levels
    and long rows estimates are compared (Rows.squared_errors), so that it can be larger there.
    """

    def find(rows: Rows, full: Range) -> Range:
        found = search(rows.squared_errors, spec, full, short=rows.values.shape[1] <= SHORT)
        # The search may go by estimates.
        return found if spec.power_of_two else better(rows, spec, found, full)

    return past_outliers(rows, spec, find)


def past_outliers(rows: Rows, spec: Spec, find: Callable[[Rows, Range], Range]) -> Range:
    """What `find` finds within the full range of each row, or, where rare elements take up nearly all of that, within a
    smaller one, whichever has the least squared error.
    """
    start = Range(rows.least, rows.greatest).around_zero()
    found = find(rows, start)
    if rows.values.shape[1] * TAIL < 1:
        return found
    core = Range(*rows.core).around_zero()
    outlying = _outlying(start, core)
    while bool(outlying.any()):
        start = Range(
            torch.maximum(start.lo, torch.minimum(start.lo / DEEPER, core.lo * WIDER)),
            torch.minimum(start.hi, torch.maximum(start.hi / DEEPER, core.hi * WIDER)),
        )
        some = rows.some(outlying)
        inner = find(some, Range(start.lo[outlying], start.hi[outlying]))
        inner = better(some, spec, Range(found.lo[outlying], found.hi[outlying]), inner)
        found = Range(found.lo.masked_scatter(outlying, inner.lo), found.hi.masked_scatter(outlying, inner.hi))
        outlying &= _outlying(start, core)
    return found


def _outlying(full: Range, core: Range) -> Tensor:
    """Whether the core of each row takes up little of the range [rows]."""
    widths = [each.hi.double() - each.lo.double() for each in (full, core)]
    return (widths[0] >= OUTLYING * widths[1]) & (widths[1] > 0)


def search(
    errors: Errors,
    spec: Spec,
    full: Range,
    *,
    short: bool = False,
    coarse: tuple[Tensor, Tensor] = (COARSE, COARSE_PAIRS),
) -> Range:
    """The range inside `full` with the least of `errors`, from coarse to fine.

    short: of few elements. coarse: the fractions of the full range that are tried first where there is one clip point,
    and those of which all pairs are tried where there are two.
    Symmetric grids and one-sided rows have one clip point; otherwise both are searched together, since the zero point
    couples them. Powers of two are tried one by one.
    """
    if spec.power_of_two:
        return _best(errors, spec, full, torch.exp2(-torch.arange(10.0)).expand(len(full.lo), -1))[0]
    if one_clip_point(spec, full):
        return _one_clip_point(errors, spec, full, coarse[0], FINE_SHORT if short else FINE)
    return _two_clip_points(errors, spec, full, coarse[1])


def one_clip_point(spec: Spec, full: Range) -> bool:
    """Whether one number tells the range: on a symmetric grid, and where no row has both signs."""
    return spec.symmetric or bool(((full.lo == 0) | (full.hi == 0)).all())


def _one_clip_point(errors: Errors, spec: Spec, full: Range, coarse: Tensor, fine: tuple[Tensor, ...]) -> Range:
    best, at = _best(errors, spec, full, coarse.expand(len(full.lo), -1))
    for octaves in fine:
        best, at = _best(errors, spec, full, (at[0][:, None] * torch.exp2(octaves)).clamp(max=1))
    return best


def _two_clip_points(errors: Errors, spec: Spec, full: Range, coarse: Tensor) -> Range:
    low, high = torch.cartesian_prod(coarse, coarse).T
    best, at = _best(errors, spec, full, low.expand(len(full.lo), -1), high.expand(len(full.lo), -1))
    for octaves in FINE_PAIRS:
        low, high = torch.exp2(torch.cartesian_prod(octaves, octaves)).T
        best, at = _best(errors, spec, full, (at[0][:, None] * low).clamp(max=1), (at[1][:, None] * high).clamp(max=1))
    return best


def better(rows: Rows, spec: Spec, found: Range, other: Range) -> Range:
    """`found` where its exact squared error is no larger than that of the other range, row by row."""
    keep = error_of(rows, spec, found) <= error_of(rows, spec, other)
    return Range(torch.where(keep, found.lo, other.lo), torch.where(keep, found.hi, other.hi))


def error_of(rows: Rows, spec: Spec, interval: Range) -> Tensor:
    """Exact squared error of each row over `interval` [rows], float64."""
    grid = grid_of(spec, interval)
    return rows.squared_errors(grid.scale[:, None], grid.zero[:, None], spec.qmin, spec.qmax)[:, 0]


def _best(
    errors: Errors, spec: Spec, full: Range, low: Tensor, high: Tensor | None = None
) -> tuple[Range, tuple[Tensor, Tensor]]:
    """The best of the ranges that keep the fractions `low` and `high` [rows, candidates] of the full one."""
    high = low if high is None else high
    lo, hi = full.lo[:, None] * low, full.hi[:, None] * high
    grid = grid_of(spec, Range(lo, hi))
    found = errors(grid.scale.view(low.shape), grid.zero.view(low.shape), spec.qmin, spec.qmax)
    pick = found.argmin(dim=1, keepdim=True)
    taken = [t.gather(1, pick).squeeze(1) for t in (lo, hi, low, high)]
    return Range(taken[0], taken[1]), (taken[2], taken[3])
