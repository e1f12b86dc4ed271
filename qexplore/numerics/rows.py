"""The slices of a tensor, sorted once, so that any number of grids can be judged without touching its elements
again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.numerics.normal import Band

PIECE = 1 << 16  # elements of one temporary tensor: they stay in a CPU's cache, and the system is not asked for pages
FEW = 2  # candidates for which going through all elements costs less than any table
TAIL = 0.001  # share of the elements on each side that are no part of the core
BY_ELEMENT = 64  # elements a level up to which the same holds for any number of candidates (measured)


class NotFinite(QexploreError):
    """A tensor that holds NaN or infinity has no range."""


@dataclass(frozen=True)
class Rows:
    """Slices [rows, elements] of a tensor in ascending order (float32), and what else is known of it.

    what: the tensor in words, as a sentence begins with it.
    ends: least and greatest element of each row where the rows are a sample that need not hold them.
    logits: the tensor as it was [images, classes], where it is the output of a classifier.
    band: where its values lie by what batch norms tell. Known without values (no element in the one row) it is all
        that there is: whoever asks for a value then gets a QexploreError.
    padding: how many zeros of each row fill it up and are no elements of the tensor [rows].
    """

    values: Tensor
    ends: tuple[Tensor, Tensor] | None = None
    what: str = "The tensor"
    logits: Tensor | None = None
    band: Band | None = None
    padding: Tensor | None = None

    @staticmethod
    def of(
        slices: Tensor,
        what: str = "The tensor",
        ends: tuple[Tensor, Tensor] | None = None,
        *,
        logits: Tensor | None = None,
        band: Band | None = None,
        padding: Tensor | None = None,
    ) -> Rows:
        """Sorts `slices` [rows, elements]; QexploreError where there is nothing to sort or NaN or infinity in it."""
        if slices.numel() == 0:
            raise NotFinite(f"{what} is empty: a range needs at least one number.")
        # numpy sorts floats with vector instructions: 20 to 30 times faster than torch on a CPU.
        values = torch.from_numpy(np.sort(slices.detach().float().numpy(force=True), axis=1))
        rows = Rows(values, ends, what, logits, band, padding)
        if not bool(torch.isfinite(torch.stack([rows.least, rows.greatest, values[:, 0], values[:, -1]])).all()):
            raise NotFinite(f"{what} holds NaN or infinity: repair the weights or the images it comes from.")
        return rows

    @property
    def least(self) -> Tensor:
        """Least element of each row [rows]."""
        return self._seen[:, 0] if self.ends is None else self.ends[0]

    @property
    def greatest(self) -> Tensor:
        """Greatest element of each row [rows]."""
        return self._seen[:, -1] if self.ends is None else self.ends[1]

    @property
    def _seen(self) -> Tensor:
        if self.values.shape[1] == 0:
            raise QexploreError(
                f"{self.what} has no values to go by: calibrate first (step 'activation-ranges' with images), take the "
                "range estimator 'batch-norm', or give its range under 'sites' in the recipe."
            )
        return self.values

    @cached_property
    def sums(self) -> Tensor:
        """Prefix sums [rows, elements + 1], float64."""
        return _prefix_sums(self.values.double())

    @cached_property
    def squares(self) -> Tensor:
        """Prefix sums of squares [rows, elements + 1], float64."""
        return _prefix_sums(self.values.double().square_())

    @cached_property
    def zeros(self) -> Tensor:
        """Elements of each row that are 0 [rows, 1]; no grid moves them."""
        zero = torch.zeros(len(self.values), 1)
        upto, below = (torch.searchsorted(self.values, zero, right=right) for right in (True, False))
        return upto - below

    def quantile(self, q: float) -> Tensor:
        """The q-quantile of each row, interpolated linearly, padding left out; of a sample, the true ends at q = 0
        and 1.
        """
        if q in (0, 1):
            return self.least if q == 0 else self.greatest
        if self.padding is not None:
            return self._quantile_without(self.padding, q)
        at = q * (self._seen.shape[1] - 1)
        low = int(at)
        high = min(low + 1, self.values.shape[1] - 1)
        return torch.lerp(self.values[:, low], self.values[:, high], at - low)

    @cached_property
    def core(self) -> tuple[Tensor, Tensor]:
        """What lies within all but TAIL of the elements other than 0 on each side, least and greatest [rows]."""
        zeros = self.zeros[:, 0]
        return self._quantile_without(zeros, TAIL), self._quantile_without(zeros, 1 - TAIL)

    def _quantile_without(self, zeros: Tensor, q: float) -> Tensor:
        """The q-quantile of each row with so many of its zeros left out [rows]; 0 where nothing is left."""
        last = (self._seen.shape[1] - zeros - 1).clamp(min=0)
        at = q * last.double()
        low = at.long()
        # Zeros stand behind the negative numbers: what comes after them has moved up by as much.
        negative = torch.searchsorted(self.values, torch.zeros(len(self.values), 1))[:, 0]

        def value(index: Tensor) -> Tensor:
            place = (index + zeros * (index >= negative)).clamp(max=self.values.shape[1] - 1)
            return self.values.gather(1, place[:, None])[:, 0]

        return torch.lerp(value(low), value(torch.minimum(low + 1, last)), (at - low).float())

    def some(self, which: Tensor) -> Rows:
        """The rows where `which` [rows] holds."""
        if bool(which.all()):
            return self
        ends = None if self.ends is None else (self.ends[0][which], self.ends[1][which])
        padding = None if self.padding is None else self.padding[which]
        return Rows(self.values[which], ends, self.what, padding=padding)

    def squared_errors(self, scale: Tensor, zero: Tensor, qmin: int, qmax: int) -> Tensor:
        """Sums of squared quantization errors, float64, for scales and zero points, all [rows, candidates].

        Exact; with more than 2^8 levels, long rows and more than a few candidates rounding is taken as uniform
        (scale²/12 for each element but zeros) and only clipping is summed.
        """
        levels, elements = qmax - qmin + 1, self.values.shape[1]
        if elements <= BY_ELEMENT * levels or scale.shape[1] <= FEW:
            return self._by_element(scale, zero, qmin, qmax)
        return self._by_level(scale, zero, qmin, qmax) if levels <= 256 else self._by_noise(scale, zero, qmin, qmax)

    def _by_element(self, scale: Tensor, zero: Tensor, qmin: int, qmax: int) -> Tensor:
        found = torch.zeros(scale.shape, dtype=torch.float64)
        for rows, candidates in _pieces(scale, self.values.shape[1]):
            s, z = scale[rows, candidates, None], zero[rows, candidates, None]
            for values in torch.split(self.values[rows, None], PIECE, dim=2):
                units = values / s
                # To clamp between whole numbers is five times as fast as between tensors of them.
                codes = units.round().add_(z).clamp_(qmin, qmax).sub_(z)
                found[rows, candidates] += units.sub_(codes).square_().sum(dim=2)
        return found.mul_(scale.double().square())

    def _by_level(self, scale: Tensor, zero: Tensor, qmin: int, qmax: int) -> Tensor:
        codes = torch.arange(qmin, qmax + 1, dtype=torch.float64)
        found = torch.empty(scale.shape, dtype=torch.float64)
        for rows, candidates in _pieces(scale, len(codes)):
            s, z = scale[rows, candidates, None].double(), zero[rows, candidates, None].double()
            found[rows, candidates] = self._cells(rows, (codes - z) * s, s)
        return found.clamp_(min=0)

    def _cells(self, rows: slice, levels: Tensor, step: Tensor) -> Tensor:
        """Squared errors [rows, candidates] of the levels [rows, candidates, levels] that lie `step` apart."""
        values, sums, squares = self.values[rows], self.sums[rows], self.squares[rows]
        edges = levels[:, :, 1:] - step / 2
        # An element in the cell of level v costs (x - v)²; summed over a cell that is S2 - 2 v S1 + v² N, and with
        # sums by parts only the differences between neighbouring levels remain.
        index = torch.searchsorted(values, edges.flatten(1).float().contiguous())
        count, total = index.view(edges.shape).double(), sums.gather(1, index).view(edges.shape)
        lower, last = levels[:, :, :-1], levels[:, :, -1]
        first_order = last * sums[:, -1:] - (step * total).sum(dim=2)
        second_order = last.square() * values.shape[1] - (step * (2 * lower + step) * count).sum(dim=2)
        return squares[:, -1:] - 2 * first_order + second_order

    def _by_noise(self, scale: Tensor, zero: Tensor, qmin: int, qmax: int) -> Tensor:
        s, z = scale.double(), zero.double()
        lo, hi = s * (qmin - z), s * (qmax - z)
        low, high = self._below(lo), self._below(hi)
        # Elements above `hi` are all elements less those below it.
        above = Below(
            self.values.shape[1] - high.number, self.sums[:, -1:] - high.sum, self.squares[:, -1:] - high.squares
        )
        # Zeros lie below `hi` only where it is above 0: of a grid that ends at 0 they are not among those counted.
        inside = high.number - low.number - self.zeros * (hi > 0)
        return low.distance(lo) + above.distance(hi) + inside * s.square() / 12

    def _below(self, edges: Tensor) -> Below:
        """What lies below each of `edges` [rows, edges]."""
        index = torch.searchsorted(self.values, edges.float().contiguous())
        return Below(index.double(), self.sums.gather(1, index), self.squares.gather(1, index))


class Below(NamedTuple):
    """Number, sum and sum of squares of some elements, float64."""

    number: Tensor
    sum: Tensor
    squares: Tensor

    def distance(self, point: Tensor) -> Tensor:
        """Sum of the squared distances of the elements to `point`."""
        return (self.squares - 2 * point * self.sum + point.square() * self.number).clamp(min=0)


def _prefix_sums(values: Tensor) -> Tensor:
    """[rows, elements] → [rows, elements + 1], beginning with 0."""
    sums = torch.zeros(len(values), values.shape[1] + 1, dtype=values.dtype)
    torch.cumsum(values, dim=1, out=sums[:, 1:])
    return sums


def _pieces(scale: Tensor, cost: int) -> Iterator[tuple[slice, slice]]:
    """Rows and candidates of [rows, candidates] in equal portions that at `cost` elements each have about PIECE."""
    rows, candidates = scale.shape
    portions = max(1, math.ceil(candidates * cost / PIECE))
    wide = max(1, math.ceil(candidates / portions))
    high = max(1, PIECE // max(cost * wide, 1))
    for top in range(0, rows, high):
        for left in range(0, candidates, wide):
            yield slice(top, top + high), slice(left, left + wide)
