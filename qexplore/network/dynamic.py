"""Activations whose range is found while the network runs: each image has its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.numerics import Range, Spec, grid_of


def each_image(spec: Spec) -> Callable[[Tensor], Tensor]:
    """What a dynamic site does to its values [images, …]: a new tensor of reals, each image on the grid of `spec` over
    its own least and greatest value, so that an image's result does not hang on the others in its batch (survey §III-D:
    dynamic ranges are accurate and costly, static ones the default).
    """

    def quantize(x: Tensor) -> Tensor:
        if x.numel() == 0:
            return x
        lo, hi = torch.aminmax(x.reshape(len(x) if x.dim() else 1, -1), dim=1)
        grid = grid_of(spec, Range(lo, hi))
        scale, zero = (each.view(x.shape[:1] + (1,) * (x.dim() - 1)) for each in (grid.scale, grid.zero))
        return (x / scale).round_().clamp_(grid.qmin - zero, grid.qmax - zero).mul_(scale)

    return quantize
