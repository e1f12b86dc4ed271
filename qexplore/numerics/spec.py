"""What a quantizer is, before it has seen a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from qexplore.errors import QexploreError

Granularity = Literal["tensor", "channel"] | int
MAX_BITS = 16


class BadSpec(QexploreError):
    """A description of a quantizer that no grid has."""


@dataclass(frozen=True)
class Spec:
    """A uniform affine grid of 2^bits levels (white paper §2.2).

    bits: 1 to 16.
    symmetric: the zero point is 0; otherwise an integer that makes real 0 representable.
    signed: integer codes -2^(bits-1) … 2^(bits-1)-1, the full grid; unsigned: 0 … 2^bits-1. Left out: signed where
        symmetric, unsigned where not.
    granularity: one range for the tensor, for each channel (dimension 0), or for each group of k consecutive
        elements of a channel (the last group of a channel may be shorter).
    power_of_two: scale = 2^k, symmetric only.
    """

    bits: int = 8
    symmetric: bool = True
    signed: bool | None = None
    granularity: Granularity = "tensor"
    power_of_two: bool = False

    def __post_init__(self) -> None:
        checked_bits(self.bits)
        for name in ("symmetric", "power_of_two"):
            _checked_flag(name, getattr(self, name))
        if self.signed is not None:
            _checked_flag("signed", self.signed)
        if self.granularity not in ("tensor", "channel") and not _is_group(self.granularity):
            raise BadSpec(f"The granularity is 'tensor', 'channel' or a number of elements; not {self.granularity!r}.")
        if self.power_of_two and not self.symmetric:
            raise BadSpec("A power-of-two scale needs a symmetric grid: set symmetric=True or power_of_two=False.")
        if self.signed is None:
            object.__setattr__(self, "signed", self.symmetric)

    @property
    def qmin(self) -> int:
        """Lowest integer code."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        """Highest integer code."""
        return self.qmin + (1 << self.bits) - 1

    def slices(self, x: Tensor) -> Tensor:
        """`x`, any shape, as [slices, elements]: a row for each range. Groups are padded with 0, which every grid
        holds.
        """
        if self.granularity == "tensor":
            return x.reshape(1, -1)
        rows = x.flatten(1) if x.dim() > 1 else x.reshape(-1, 1)
        if self.granularity == "channel":
            return rows
        group = min(int(self.granularity), max(1, rows.shape[1]))
        return torch.nn.functional.pad(rows, (0, -rows.shape[1] % group)).reshape(-1, group)

    def padding(self, shape: torch.Size) -> Tensor | None:
        """How many of the zeros in each row of `slices` of a tensor of `shape` are padding [slices]; None where none
        is.
        """
        if self.granularity in ("tensor", "channel") or len(shape) < 2 or shape.numel() == 0:
            return None
        elements = shape[1:].numel()
        group = min(int(self.granularity), elements)
        if elements % group == 0:
            return None
        each = torch.zeros(shape[0], -(-elements // group), dtype=torch.int64)
        each[:, -1] = -elements % group
        return each.flatten()

    def unslice(self, rows: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `slices`: [slices, elements] back to `shape`, the padding dropped."""
        if self.granularity in ("tensor", "channel"):
            return rows.reshape(shape)
        channels = shape[0] if shape else 1
        elements = shape[1:].numel() if shape else 1
        return rows.reshape(channels, rows.numel() // max(channels, 1))[:, :elements].reshape(shape)


def checked_bits(bits: object) -> int:
    """`bits` where they are a whole number from 1 to 16; BadSpec otherwise."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAX_BITS:
        raise BadSpec(f"A grid has 1 to {MAX_BITS} bits, a whole number; not {bits!r}.")
    return bits


def _checked_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise BadSpec(f"The setting {name!r} of a quantizer is true or false; not {value!r}.")


def _is_group(granularity: object) -> bool:
    return isinstance(granularity, int) and not isinstance(granularity, bool) and granularity >= 1
