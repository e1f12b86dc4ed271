"""From the values of a site to its quantizer: a range, the grid over it, and what is lost on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network.placement import Site
from qexplore.numerics import Band, Grid, Range, Rows, Spec, apply_estimator, grid_of

Estimator = tuple[str, dict[str, Any]]


class Fitted(NamedTuple):
    """A site's quantizer at some number of bits: what kind of grid, over which range, the grid itself, and its noise.

    noise: mean squared error of the site's values on the grid, unit of the tensor squared; NaN where none was seen.
    """

    spec: Spec
    range: Range
    grid: Grid
    noise: float


@dataclass(frozen=True)
class Own:
    """What holds at one site alone; None: what holds for all sites of its kind."""

    bits: int | None = None
    range: Range | None = None
    estimator: Estimator | None = None


def fit(rows: Rows, elements: int, spec: Spec, estimator: Estimator, fixed: Range | None) -> Fitted:
    """The quantizer of `spec` over the range that is fixed by hand, or else the estimator's.

    elements: values that were seen; the rows can have more (padding). QexploreError for a range that does not fit the
    rows.
    """
    method, options = estimator
    interval = apply_estimator(rows, spec, method, options) if fixed is None else fixed
    interval = _for_each_slice(interval, rows)
    grid = grid_of(spec, interval)
    errors = rows.squared_errors(grid.scale[:, None], grid.zero[:, None], grid.qmin, grid.qmax)
    return Fitted(spec, interval, grid, float(errors.sum()) / elements if elements else math.nan)


def as_signed_as_needed(spec: Spec, rows: Rows, elements: int, fixed: Range | None) -> Spec:
    """`spec`, unsigned where the range that is fixed, or else what was seen, or else can be, is never negative."""
    return replace(spec, signed=False) if _least(rows, elements, fixed) >= 0 else spec


def rows_of(site: Site, values: Tensor, ends: tuple[Tensor, Tensor] | None, band: Band | None, *, whole: bool) -> Rows:
    """The sorted sample of an activation site, one dimension; nothing to sort where it is empty.

    ends: least and greatest of all values; band: what batch norms tell; whole: every value is there, image by image.
    """
    slices = values.reshape(1, -1)
    if not values.numel():
        return Rows(slices, what=what_of(site), band=band)
    logits = values.view(-1, site.numel) if whole and values.numel() % site.numel == 0 else None
    return Rows.of(slices, what_of(site), ends, logits=logits, band=band)


def what_of(site: Site) -> str:
    """How sentences call the site."""
    return f"The site {site.name!r}"


def _for_each_slice(interval: Range, rows: Rows) -> Range:
    slices = len(rows.values)
    try:
        return Range(interval.lo.expand(slices), interval.hi.expand(slices))
    except RuntimeError as error:
        raise QexploreError(
            f"{rows.what} has {slices} slices: its range needs one value or {slices}, not {interval.lo.numel()}."
        ) from error


def _least(rows: Rows, elements: int, fixed: Range | None) -> float:
    if fixed is not None:
        return float(fixed.lo.min())
    if elements:
        return float(rows.least[0])
    return -math.inf if rows.band is None else float(rows.band.lower.min())
