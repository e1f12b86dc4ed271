"""Range estimators: pure functions (sorted slices, spec) → range, found by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.numerics.grid import Range
from qexplore.numerics.rows import Rows
from qexplore.numerics.search import least_squares_range
from qexplore.numerics.spec import Spec
from qexplore.registry import Registry

Estimator = Callable[..., Range]
RANGES: Registry[Estimator] = Registry("range estimator")


@RANGES.register("min-max")
def min_max(rows: Rows, spec: Spec) -> Range:
    """From the least to the greatest element: nothing is clipped (white paper §3.1)."""
    return Range(rows.least, rows.greatest).around_zero()


@RANGES.register("percentile")
def percentile(rows: Rows, spec: Spec, *, percent: float = 99.99) -> Range:
    """Leaves (100 - percent) % of the elements out on each side (McKinstry et al. 2018; survey §III-C).

    Raises QexploreError unless 50 < percent <= 100.
    """
    if not 50 < percent <= 100:
        raise QexploreError(f"The percentile lies above 50 and at most at 100; not {percent}.")
    return Range(rows.quantile(1 - percent / 100), rows.quantile(percent / 100)).around_zero()


@RANGES.register("mse")
def mse(rows: Rows, spec: Spec) -> Range:
    """The range of least squared error ‖x - x̂‖² (white paper §3.1), searched from coarse to fine."""
    return least_squares_range(rows, spec)


def estimate_range(x: Tensor, spec: Spec, method: str = "mse", **options: Any) -> Range:
    """The range of `x`, any shape, for each slice along `spec.granularity`; lo and hi hold one value a slice.

    method: a name in RANGES; options: its keyword arguments.
    Raises UnknownName for a method that does not exist, QexploreError for NaN, infinity, an empty tensor or bad
    options.
    """
    return apply_estimator(Rows.of(spec.slices(x)), spec, method, options)


def apply_estimator(rows: Rows, spec: Spec, method: str, options: dict[str, Any]) -> Range:
    """The range of sorted slices by the estimator called `method`."""
    estimator = RANGES.get(method)
    try:
        return estimator(rows, spec, **options)
    except TypeError as error:
        raise QexploreError(f"The range estimator {method!r} does not take these options: {error}.") from error
