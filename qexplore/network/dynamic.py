"""Activations whose range is found while the network runs: each image has its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.numerics import Range, Spec, grid_of


def each_image(spec: Spec, axis: int | None = 0) -> Callable[[Tensor, int], Tensor]:
    """What a dynamic site does to its values, given the number of images: a new tensor of reals, each image on the grid
    of `spec` over its own least and greatest value, so that an image's result does not hang on the others in its batch
    (survey §III-D: dynamic ranges are accurate and costly, static ones the default).

    axis: the dimension along which images lie, one after another: [tokens, images, …] or [images × windows, …], say;
    None where the values are no image's own and have one range.
    """

    def quantize(x: Tensor, images: int) -> Tensor:
        if x.numel() == 0:
            return x
        if axis is None:
            return over(x[None], 0)[0]
        apart = x.view(*x.shape[:axis], images, -1, *x.shape[axis + 1 :])
        return over(apart, axis).reshape(x.shape)

    def over(x: Tensor, axis: int) -> Tensor:
        lo, hi = torch.aminmax(x.movedim(axis, 0).reshape(x.shape[axis], -1), dim=1)
        grid = grid_of(spec, Range(lo, hi))
        scale, zero = (each.view(-1, *[1] * (x.dim() - axis - 1)) for each in (grid.scale, grid.zero))
        return (x / scale).round_().clamp_(grid.qmin - zero, grid.qmax - zero).mul_(scale)

    return quantize
