"""Numbers that are known by their mean and standard deviation alone, as batch norms tell them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.numerics.grid import Range

Bound = float | Tensor | None


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each channel [channels], in the unit of the tensor."""

    mean: Tensor
    std: Tensor

    def clamped(self, lower: Bound, upper: Bound) -> Moments:
        """Those of clamp(x) for a normal x; a bound is None, a number, or one value a channel.

        With l = (lower - β) / γ and h = (upper - β) / γ the mean is β + γ (φ(l) - φ(h) + l Φ(l) + h [1 - Φ(h)]). For a
        ReLU that is γ φ(-β/γ) + β [1 - Φ(-β/γ)] (white paper §3.3, analytic bias correction); the upper bound and the
        variance are derived for this project. Computed in float64.
        """
        mean, std = self.mean.double(), self.std.double().clamp(min=1e-12)
        low, high = ((bound - mean) / std for bound in (_ends(lower, -math.inf), _ends(upper, math.inf)))
        below, above = _below(low), _below(-high)
        first = _density(low) - _density(high) + _times(low, below) + _times(high, above)
        second = (1 - below - above) + _times(low, _density(low)) - _times(high, _density(high))
        second += _times(low, _times(low, below)) + _times(high, _times(high, above))
        spread = (second - first.square()).clamp(min=0).sqrt()
        return Moments((mean + std * first).to(self.mean.dtype), (std * spread).to(self.std.dtype))


@dataclass(frozen=True)
class Band:
    """Where the values of each channel lie: some standard deviations around the mean, but never outside [lower, upper].

    All [channels]; an infinite std means that the two ends alone are known.
    """

    mean: Tensor
    std: Tensor
    lower: Tensor
    upper: Tensor

    @staticmethod
    def around(moments: Moments) -> Band:
        """The band without ends around a mean."""
        ends = torch.full_like(moments.mean, math.inf)
        return Band(moments.mean, moments.std, -ends, ends)

    @staticmethod
    def between(lo: float, hi: float) -> Band:
        """One channel of which nothing but its two ends is known."""
        ends = torch.tensor([lo, hi])
        return Band(torch.zeros(1), torch.full((1,), math.inf), ends[:1], ends[1:])

    def cut(self, lower: Bound, upper: Bound) -> Band:
        """The band of clamp(x); a bound is None, a number, or one value a channel."""
        low, high = _ends(lower, -math.inf).to(self.lower.dtype), _ends(upper, math.inf).to(self.upper.dtype)
        ends = (torch.minimum(torch.maximum(end, low), high) for end in (self.lower, self.upper))
        return Band(self.mean, self.std, *ends)

    def interval(self, alpha: float) -> Range:
        """The range that holds `alpha` standard deviations of every channel: one value for all of them."""
        lo, hi = (torch.clamp(self.mean + side * self.std, self.lower, self.upper) for side in (-alpha, alpha))
        return Range(lo.amin().view(1), hi.amax().view(1)).around_zero()


def _ends(bound: Bound, otherwise: float) -> Tensor:
    return torch.as_tensor(otherwise if bound is None else bound, dtype=torch.float64).flatten()


def _times(end: Tensor, share: Tensor) -> Tensor:
    """Their product; an infinite end has no share, whatever rounding says."""
    return torch.where(end.isinf(), torch.zeros_like(share), end * share)


def _density(x: Tensor) -> Tensor:
    return torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)


def _below(x: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr(x)
    return below
