"""Training images moved and mirrored at random."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Moves(NamedTuple):
    """What leaves the class of an image as it is: shift, by up to so many pixels each way; flip, left for right."""

    shift: int = 0
    flip: bool = False


STILL = Moves()


def shifted(x: Tensor, most: int, generator: torch.Generator | None = None) -> Tensor:
    """Each image moved by up to `most` pixels in both directions, zeros flowing in. x: [N, C, H, W]."""
    n, _, height, width = x.shape
    padded = F.pad(x, (most, most, most, most))
    down, right = torch.randint(0, 2 * most + 1, (2, n), generator=generator)
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    return padded[torch.arange(n)[:, None, None, None], torch.arange(x.shape[1])[None, :, None, None], rows, columns]


def mirrored(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Half of the images, drawn anew, with left and right exchanged. x: [N, C, H, W]."""
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5, x.flip(3), x)
