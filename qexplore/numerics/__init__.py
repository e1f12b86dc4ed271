"""Grids and their ranges: tensors in, tensors out; knows no network."""

from qexplore.numerics.error import QuantizationError, quantization_error, sqnr_db
from qexplore.numerics.grid import Grid, Range, grid_of, integers, power_of_two, quantize
from qexplore.numerics.normal import Band, Moments
from qexplore.numerics.ranges import RANGES, apply_estimator, estimate_range
from qexplore.numerics.rows import NotFinite, Rows
from qexplore.numerics.spec import MAX_BITS, BadSpec, Spec, checked_bits

__all__ = [
    "MAX_BITS",
    "RANGES",
    "BadSpec",
    "Band",
    "Grid",
    "Moments",
    "NotFinite",
    "QuantizationError",
    "Range",
    "Rows",
    "Spec",
    "apply_estimator",
    "checked_bits",
    "estimate_range",
    "grid_of",
    "integers",
    "power_of_two",
    "quantization_error",
    "quantize",
    "sqnr_db",
]
