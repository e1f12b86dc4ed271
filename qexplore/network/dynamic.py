"""Activations whose range is found while the network runs: each image has its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.network.graph import Order
from qexplore.numerics import Range, Spec, grid_of


def each_image(spec: Spec, axis: int | None = 0, order: Order = "blocks") -> Callable[[Tensor, int], Tensor]:
    """What a dynamic site does to its values, given the number of images: a new tensor of reals, each image on the grid
    of `spec` over its own least and greatest value, so that an image's result does not hang on the others in its batch
    (survey §III-D: dynamic ranges are accurate and costly, static ones the default).

    axis: the dimension along which images lie: [tokens, images, …] or [images × windows, …], say; None where the values
    are no image's own and have one range.
    order: how they lie there, see `Op`. With "places" each place has a range of its own, since it is one image's.
    """

    def quantize(x: Tensor, images: int) -> Tensor:
        if x.numel() == 0:
            return x
        if axis is None:
            return over(x[None], 0)[0]
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        if order == "turns":
            return over(x.view(*before, -1, images, *after), axis + 1).reshape(x.shape)
        blocks = images if order == "blocks" else x.shape[axis]
        return over(x.view(*before, blocks, -1, *after), axis).reshape(x.shape)

    def over(x: Tensor, axis: int) -> Tensor:
        lo, hi = torch.aminmax(x.movedim(axis, 0).reshape(x.shape[axis], -1), dim=1)
        grid = grid_of(spec, Range(lo, hi))
        scale, zero = (each.view(-1, *[1] * (x.dim() - axis - 1)) for each in (grid.scale, grid.zero))
        return (x / scale).round_().clamp_(grid.qmin - zero, grid.qmax - zero).mul_(scale)

    return quantize
