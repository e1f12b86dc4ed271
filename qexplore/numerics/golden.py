"""The range of least squared error by golden-section search, as the white paper names it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.numerics.grid import Range
from qexplore.numerics.rows import Rows
from qexplore.numerics.search import better, error_of, one_clip_point, past_outliers
from qexplore.numerics.spec import Spec

RATIO = (5**0.5 - 1) / 2
SMALLEST = 2.0**-7  # of the full range: long tails at two bits put the optimum near one hundredth
STEPS = 18  # the bracket ends 0.618^18 = 0.02 % wide
ROUNDS = 3


def golden_section_range(rows: Rows, spec: Spec) -> Range:
    """A range of small squared error of each row: golden-section search over the fraction of the full range that is
    kept; never worse than the full range.

    Symmetric grids and one-sided rows have one clip point; otherwise both ends are searched in turn, the other one
    held.
    """

    def find(rows: Rows, full: Range) -> Range:
        return _within(rows, spec, full)

    return past_outliers(rows, spec, find)


def _within(rows: Rows, spec: Spec, full: Range) -> Range:
    if one_clip_point(spec, full):
        kept = _minimum(lambda share: error_of(rows, spec, _part(full, share, share)), len(full.lo))
        return better(rows, spec, _part(full, kept, kept), full)
    found, low, high = full, *(torch.ones(len(full.lo)) for _ in range(2))
    for _ in range(ROUNDS):
        high = _minimum(lambda share, low=low: error_of(rows, spec, _part(full, low, share)), len(low))  # type: ignore[misc]
        low = _minimum(lambda share, high=high: error_of(rows, spec, _part(full, share, high)), len(low))  # type: ignore[misc]
        found = better(rows, spec, _part(full, low, high), found)
    return found


def _part(full: Range, low: Tensor, high: Tensor) -> Range:
    return Range(full.lo * low, full.hi * high)


def _minimum(error: Callable[[Tensor], Tensor], rows: int) -> Tensor:
    """Where `error`, one value a row for one point a row, is least between SMALLEST and 1, if it has one minimum."""
    low, high = torch.full((rows,), SMALLEST), torch.ones(rows)
    left, right = high - RATIO * (high - low), low + RATIO * (high - low)
    at_left, at_right = error(left), error(right)
    for _ in range(STEPS):
        down = at_left <= at_right  # the minimum lies left of `right`
        low, high = torch.where(down, low, left), torch.where(down, right, high)
        new = torch.where(down, high - RATIO * (high - low), low + RATIO * (high - low))
        found = error(new)
        left, right = torch.where(down, new, right), torch.where(down, left, new)
        at_left, at_right = torch.where(down, found, at_right), torch.where(down, at_left, found)
    return torch.where(at_left <= at_right, left, right)
