"""The range of logits that keeps what the softmax says of every image."""

from __future__ import annotations

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.numerics.grid import Range, grid_of
from qexplore.numerics.rows import Rows
from qexplore.numerics.search import COARSE, COARSE_PAIRS, least_squares_range, search
from qexplore.numerics.spec import Spec

# Of few logits the cross-entropy has many valleys, and looking closely costs little.
CHUNK = 1 << 20  # elements of one temporary tensor, four megabytes
FEW = 1 << 14
CLOSE = (torch.exp2(-torch.linspace(0, 6.4, 513)), torch.exp2(-torch.linspace(0, 5.6, 33)))


def cross_entropy_range(rows: Rows, spec: Spec) -> Range:
    """argmin over (lo, hi) of the mean of H(softmax(v), softmax(v̂)) over the images, in nats.

    Raises QexploreError where the tensor is not known as [images, classes], or its rows have ranges of their own.
    """
    if rows.logits is None or len(rows.values) != 1:
        raise QexploreError(
            f"{rows.what} is not the logits, [images, classes] with one range, which the range estimator "
            "'cross-entropy' serves alone: set it by 'logits: cross-entropy' of the step 'activation-ranges', or leave "
            "it out where the network has no such logits."
        )
    entropy = _Entropy(rows.logits)
    full = Range(rows.least, rows.greatest).around_zero()
    coarse = CLOSE if rows.logits.numel() <= FEW else (COARSE, COARSE_PAIRS)
    ranges = [search(entropy.of, spec, full, coarse=coarse), least_squares_range(rows, spec), full]
    lo, hi = (torch.stack(ends, dim=1) for ends in zip(*((each.lo, each.hi) for each in ranges), strict=True))
    grid = grid_of(spec, Range(lo, hi))
    return ranges[int(entropy.of(grid.scale[None], grid.zero[None], spec.qmin, spec.qmax).argmin())]


class _Entropy:
    """Logits [images, classes], and what their quantization makes of their softmax."""

    def __init__(self, logits: Tensor) -> None:
        self.logits, self.shares = logits, torch.softmax(logits.double(), dim=1).float()

    def of(self, scale: Tensor, zero: Tensor, qmin: int, qmax: int) -> Tensor:
        """Mean cross-entropy in nats, float64, for scales and zero points [1, candidates]."""
        size = max(1, CHUNK // self.logits.numel())
        pairs = zip(torch.split(scale[0], size), torch.split(zero[0], size), strict=True)
        return torch.cat([self._few(s[:, None, None], z[:, None, None], qmin, qmax) for s, z in pairs])[None]

    def _few(self, scale: Tensor, zero: Tensor, qmin: int, qmax: int) -> Tensor:
        codes = (self.logits / scale).round_().clamp_(qmin - zero, qmax - zero)
        said = torch.log_softmax(codes.mul_(scale), dim=2)
        return -(said.mul_(self.shares)).sum(dim=(1, 2), dtype=torch.float64) / len(self.logits)
