"""The range of least squared error: a coarse geometric search over clip points, then finer ones around the best."""

from __future__ import annotations

import torch
from torch import Tensor

from qexplore.numerics.grid import Range, grid_of
from qexplore.numerics.rows import Rows
from qexplore.numerics.spec import Spec

# Fractions of the full range. Long tails at two bits put the optimum far below one half; 2^-6.4 is about 1 %.
COARSE = torch.exp2(-0.4 * torch.arange(17))
COARSE_PAIRS = torch.exp2(-0.7 * torch.arange(9))
FINE = (torch.linspace(-0.4, 0.4, 9), torch.linspace(-0.09, 0.09, 19), torch.linspace(-0.01, 0.01, 9))  # octaves
# The error of few elements is no smooth curve: its lowest valley is found only by looking everywhere.
SHORT = 64
FINE_SHORT = (torch.linspace(-0.5, 0.4, 129), torch.linspace(-0.007, 0.007, 7))
FINE_PAIRS = (torch.linspace(-0.6, 0.6, 7), torch.linspace(-0.15, 0.15, 7), torch.linspace(-0.04, 0.04, 5))


def least_squares_range(rows: Rows, spec: Spec) -> Range:
    """argmin over (lo, hi) of the squared error of each row; never worse than the full range.

    Symmetric grids and one-sided rows have one clip point; otherwise both are searched together, since the zero point
    couples them. Powers of two are tried one by one.
    """
    full = Range(rows.least, rows.greatest).around_zero()
    if spec.power_of_two:
        return _best(rows, spec, full, torch.exp2(-torch.arange(10.0)).expand(len(full.lo), -1))[0]
    one_sided = bool(((full.lo == 0) | (full.hi == 0)).all())
    found = (_one_clip_point if spec.symmetric or one_sided else _two_clip_points)(rows, spec, full)
    return _better(rows, spec, found, full)


def _one_clip_point(rows: Rows, spec: Spec, full: Range) -> Range:
    best, at = _best(rows, spec, full, COARSE.expand(len(full.lo), -1))
    for octaves in FINE_SHORT if rows.values.shape[1] <= SHORT else FINE:
        best, at = _best(rows, spec, full, (at[0][:, None] * torch.exp2(octaves)).clamp(max=1))
    return best


def _two_clip_points(rows: Rows, spec: Spec, full: Range) -> Range:
    low, high = torch.cartesian_prod(COARSE_PAIRS, COARSE_PAIRS).T
    best, at = _best(rows, spec, full, low.expand(len(full.lo), -1), high.expand(len(full.lo), -1))
    for octaves in FINE_PAIRS:
        low, high = torch.exp2(torch.cartesian_prod(octaves, octaves)).T
        best, at = _best(rows, spec, full, (at[0][:, None] * low).clamp(max=1), (at[1][:, None] * high).clamp(max=1))
    return best


def _better(rows: Rows, spec: Spec, found: Range, full: Range) -> Range:
    """`found` where its exact error is no larger than that of the full range; the search may go by estimates."""
    ends = (torch.stack([a, b], dim=1) for a, b in ((found.lo, full.lo), (found.hi, full.hi)))
    pair = Range(*ends)
    grid = grid_of(spec, pair)
    errors = rows.squared_errors(grid.scale.view(-1, 2), grid.zero.view(-1, 2), spec.qmin, spec.qmax)
    keep = errors[:, 0] <= errors[:, 1]
    return Range(torch.where(keep, found.lo, full.lo), torch.where(keep, found.hi, full.hi))


def _best(
    rows: Rows, spec: Spec, full: Range, low: Tensor, high: Tensor | None = None
) -> tuple[Range, tuple[Tensor, Tensor]]:
    """The best of the ranges that keep the fractions `low` and `high` [rows, candidates] of the full one."""
    high = low if high is None else high
    lo, hi = full.lo[:, None] * low, full.hi[:, None] * high
    grid = grid_of(spec, Range(lo, hi))
    errors = rows.squared_errors(grid.scale.view(low.shape), grid.zero.view(low.shape), spec.qmin, spec.qmax)
    pick = errors.argmin(dim=1, keepdim=True)
    taken = [t.gather(1, pick).squeeze(1) for t in (lo, hi, low, high)]
    return Range(taken[0], taken[1]), (taken[2], taken[3])
