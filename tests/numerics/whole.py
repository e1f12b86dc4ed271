"""A quantizer by itself, put together as a network in training does it."""

from __future__ import annotations

from torch import Tensor

from qexplore.numerics.learned import Codes, round_units


def fake_quantize(
    x: Tensor, scale: Tensor, zero: Tensor, codes: Codes, lower: float | None = None, upper: float | None = None
) -> Tensor:
    """x̂ of a whole tensor: the scale is divided out before the rounding and multiplied in behind it.

    x: any shape. scale: one positive number, unit of x for each code. lower, upper: a clamp before, in the unit of x.
    """
    floor, ceiling = (None if bound is None else bound / scale for bound in (lower, upper))
    return round_units(x / scale, zero, codes, floor, ceiling) * scale
