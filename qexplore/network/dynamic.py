"""Activations whose range is found while the network runs: each image has its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.numerics import Range, Spec, grid_of


def each_image(spec: Spec, one: tuple[int, ...] = ()) -> Callable[[Tensor], Tensor]:
    """What a dynamic site does to its values: a new tensor of reals, each image on the grid of `spec` over its own
    least and greatest value, so that an image's result does not hang on the others in its batch (survey §III-D:
    dynamic ranges are accurate and costly, static ones the default).

    one: shape of the values of a single image; images lie along the dimension that is longer than there, one after
    another: [tokens, images, …] or [images × windows, …], say. Without it along the first.
    """

    def quantize(x: Tensor) -> Tensor:
        if x.numel() == 0:
            return x
        if x.dim() == 0:
            return over(x.view(1, 1), 0).view(())
        axis = next((d for d, (many, few) in enumerate(zip(x.shape, one)) if many != few), 0)
        images = x.shape[axis] // one[axis] if axis < len(one) else x.shape[axis]
        apart = x.view(*x.shape[:axis], images, -1, *x.shape[axis + 1 :])
        return over(apart, axis).reshape(x.shape)

    def over(x: Tensor, axis: int) -> Tensor:
        lo, hi = torch.aminmax(x.movedim(axis, 0).reshape(x.shape[axis], -1), dim=1)
        grid = grid_of(spec, Range(lo, hi))
        scale, zero = (each.view(-1, *[1] * (x.dim() - axis - 1)) for each in (grid.scale, grid.zero))
        return (x / scale).round_().clamp_(grid.qmin - zero, grid.qmax - zero).mul_(scale)

    return quantize
