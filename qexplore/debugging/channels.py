"""Channels that share one grid: whether some are far larger than the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.debugging.evidence import Suspect

# Three octaves below the largest channel three bits are lost: of 8 bits 5 are left, of 4 bits 1.
FAR = 8.0
STARVED = 0.1  # share of the channels from which on that is more than an odd one
# Outliers are few, reach above a quarter of the range, and leave the others balanced among themselves.
FEW, REACHES = 0.05, 0.25


@dataclass(frozen=True, eq=False)
class Channels:
    """Largest absolute value of each channel [channels], of those that have one, and the codes of the grid they share.

    index: numbers of these channels.
    """

    sizes: Tensor
    index: Tensor
    codes: int

    @staticmethod
    def of(suspect: Suspect) -> Channels:
        sizes = torch.maximum(suspect.lo.abs(), suspect.hi.abs())
        index = torch.nonzero(sizes > 0).flatten()
        return Channels(sizes[index] if len(index) else torch.ones(1), index, 2**suspect.bits)

    @property
    def number(self) -> int:
        return len(self.sizes)

    @property
    def largest(self) -> float:
        return float(self.sizes.max())

    @property
    def starved(self) -> float:
        """Share of the channels that are an eighth of the largest or less."""
        return float((self.sizes <= self.largest / FAR).double().mean())

    @property
    def few_codes(self) -> bool:
        """Whether the grid is too coarse for some of the channels that share it."""
        return self.starved >= STARVED

    @property
    def octaves(self) -> float:
        """Between the largest channel and the one that a tenth of them lie below."""
        return float(torch.log2(self.sizes.max() / torch.quantile(self.sizes, STARVED)))

    @property
    def sticks_out(self) -> float:
        """The largest channel over the median."""
        return self.largest / float(self.sizes.median())

    @property
    def median_codes(self) -> float:
        """Codes of the grid that the median channel uses, were the grid as wide as the largest."""
        return self.codes / self.sticks_out

    @property
    def outliers(self) -> list[int]:
        """Numbers of the few channels without which the others would be balanced; empty where there are none such."""
        out = self.sizes > REACHES * self.largest
        rest = self.sizes[~out]
        if int(out.sum()) > max(1, FEW * self.number) or len(rest) == 0 or self.sticks_out < FAR:
            return []
        return self.index[out].tolist() if float(rest.max()) < FAR * float(rest.median()) else []

    def evidence(self) -> dict[str, float]:
        return {
            "channels": self.number,
            "largest_over_median": self.sticks_out,
            "octaves": self.octaves,
            "starved": self.starved,
        }
