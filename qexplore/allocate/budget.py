"""A budget: hard limits on the bits of an allocation, and the error that says what is possible instead."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from qexplore.errors import QexploreError

LIMITS = {
    "weight_bits": "average weight bits",
    "activation_bits": "average activation bits",
    "kb": "KB of weights",
    "gbops": "GBOPs",
}
BITS_IN_KB = 8000  # 1 KB = 1000 bytes
BITOPS_IN_GBOP = 10**9


@dataclass(frozen=True)
class Budget:
    """Hard limits on an allocation; None is no limit.

    weight_bits, activation_bits: average over the elements; kb: thousands of bytes of weights; gbops: thousands of
    millions of bit operations an image, Σ MACs · weight bits · activation bits. Products of two activations, as in
    attention, are left out of those; the answer says so (`uncounted`). Pruned weights count nowhere, but where single
    weights are pruned kb holds the bitmap that tells which. Raises QexploreError unless each limit is a positive finite
    number.
    """

    weight_bits: float | None = None
    activation_bits: float | None = None
    kb: float | None = None
    gbops: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, _positive(field.name, value))

    def limits(self) -> dict[str, float]:
        """The limits that are set, in the order of LIMITS."""
        return {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}


class InfeasibleBudget(QexploreError):
    """No allocation meets a limit; `least` is the smallest value of that limit that one meets (locks counted in)."""

    def __init__(self, limit: str, asked: float, least: float, *, locked: int = 0) -> None:
        sites = f"the {locked} locked sites" if locked > 1 else "the locked site"
        because, way_out = (f" with {sites}", ", or unlock sites") if locked else ("", "")
        super().__init__(
            f"A budget of {asked:.12g} {LIMITS[limit]} cannot be met: the least that is possible{because} is "
            f"{rounded_up(least)}; raise the {LIMITS[limit]} to that or more{way_out}."
        )
        self.limit, self.asked, self.least = limit, asked, least


def whole(limit: float, scale: int, most: int) -> int:
    """The largest whole number c ≤ `most` with c / scale ≤ limit, as float64 divides.

    Budgets are compared in these whole numbers only. The rule lets a cost that was printed (c / scale) come back as a
    budget and admit the very allocation that it came from.
    """
    c = min(math.floor(Fraction(limit) * scale), most)
    while c < most and (c + 1) / scale <= limit:
        c += 1
    return c


def rounded_up(value: float) -> str:
    """`value` with 6 digits, rounded up, so that the printed number is feasible when it is typed back."""
    exact = Decimal(repr(float(value)))
    step = Decimal(1).scaleb(exact.adjusted() - 5)
    return f"{exact.quantize(step, rounding=ROUND_CEILING).normalize():f}"


def _positive(name: str, value: object) -> float:
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and number > 0):
        raise QexploreError(f"The budget {name} must be a positive number of {LIMITS[name]}, not {value!r}.")
    return number
