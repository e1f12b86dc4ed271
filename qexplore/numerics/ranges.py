"""Range estimators: pure functions (sorted slices, spec) → range, found by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.numerics.cross_entropy import cross_entropy_range
from qexplore.numerics.golden import golden_section_range
from qexplore.numerics.grid import Range
from qexplore.numerics.rows import Rows
from qexplore.numerics.search import least_squares_range
from qexplore.numerics.spec import Spec
from qexplore.registry import Registry

Estimator = Callable[..., Range]
RANGES: Registry[Estimator] = Registry("range estimator")


@RANGES.register("min-max")
def min_max(rows: Rows, spec: Spec) -> Range:
    """From the least to the greatest element (white paper §3.1).

    Nothing is clipped where the zero point is 0, as far as the grid has codes on both sides; an asymmetric grid rounds
    its zero point, which can leave one end up to half a step outside.
    """
    return Range(rows.least, rows.greatest).around_zero()


@RANGES.register("percentile")
def percentile(rows: Rows, spec: Spec, *, percent: float = 99.99) -> Range:
    """Leaves (100 - percent) % of the elements out on each side (McKinstry et al. 2018; survey §III-C).

    Raises QexploreError unless 50 < percent <= 100.
    """
    if not 50 < percent <= 100:
        raise QexploreError(f"The percentile must be above 50 and at most 100; not {percent}.")
    return Range(rows.quantile(1 - percent / 100), rows.quantile(percent / 100)).around_zero()


@RANGES.register("mse")
def mse(rows: Rows, spec: Spec) -> Range:
    """The range of least squared error ‖x - x̂‖² (white paper §3.1), as near as a search from coarse to fine comes."""
    return least_squares_range(rows, spec)


@RANGES.register("golden-section")
def golden_section(rows: Rows, spec: Spec) -> Range:
    """A range of small squared error by golden-section search, which the white paper names beside the grid (§3.1).

    The error is no unimodal function of the clip point, so that the search can end in a local minimum; it is never
    worse than min-max. `mse` looks at more places and is the better choice; this one is here to be compared with it.
    """
    return golden_section_range(rows, spec)


@RANGES.register("cross-entropy")
def cross_entropy(rows: Rows, spec: Spec) -> Range:
    """argmin H(softmax(v), softmax(v̂)) over the images, for the logits of the last layer alone (white paper §3.1).

    The clip points are searched from coarse to fine as for `mse`; by its own measure on the calibration images the
    range is never worse than those of min-max and mse (project's own choice).
    Raises QexploreError for what is not [images, classes].
    """
    return cross_entropy_range(rows, spec)


@RANGES.register("batch-norm")
def batch_norm(rows: Rows, spec: Spec, *, alpha: float = 6.0) -> Range:
    """q_min = min(β - α γ), q_max = max(β + α γ) over the channels of a batch norm (white paper §3.1, α = 6).

    No image is needed. Project's own choice: |γ| stands for γ, which may be negative; behind a ReLU the range ends
    where the ReLU does; sums and layers without a batch norm go by moments that are derived. Raises QexploreError where
    no batch norm tells of the tensor, or alpha is not above 0.
    """
    if not 0 < alpha < float("inf"):
        raise QexploreError(f"The setting 'alpha' counts standard deviations and lies above 0; not {alpha}.")
    if rows.band is None:
        raise QexploreError(
            f"{rows.what} has a range that no batch norm tells: give it (the images' own as 'input: [least, greatest]' "
            "of the step 'activation-ranges', any other under 'sites' in the recipe), or calibrate with images (method "
            "mse, say)."
        )
    return rows.band.interval(alpha)


def estimate_range(x: Tensor, spec: Spec, method: str = "mse", **options: Any) -> Range:
    """The range of `x`, any shape, for each slice along `spec.granularity`; lo and hi hold one value a slice.

    method: a name in RANGES; options: its keyword arguments.
    Raises UnknownName for a method that does not exist, QexploreError for NaN, infinity, an empty tensor or bad
    options.
    """
    logits = x.detach().float() if x.dim() == 2 and spec.granularity == "tensor" else None
    rows = Rows.of(spec.slices(x), logits=logits, padding=spec.padding(x.shape))
    return apply_estimator(rows, spec, method, options)


def apply_estimator(rows: Rows, spec: Spec, method: str, options: dict[str, Any]) -> Range:
    """The range of sorted slices by the estimator called `method`."""
    estimator = RANGES.get(method)
    try:
        return estimator(rows, spec, **options)
    except TypeError as error:
        raise QexploreError(f"The range estimator {method!r} does not take these options: {error}.") from error
