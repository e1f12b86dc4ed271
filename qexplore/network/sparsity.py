"""Pruned weights: masks that say which weights are kept, and what a mask leaves to store.

A mask has the shape of its weight and holds True where the weight is kept; elsewhere the weight is exactly 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network.graph import Layer, channels_last


def masked(weight: Tensor, mask: Tensor | None) -> Tensor:
    """The weight with 0 where it is pruned; itself where there is no mask."""
    return weight if mask is None else channels_last(weight.masked_fill(~mask, 0.0))


def checked_mask(layer: Layer, mask: Tensor) -> Tensor:
    """The mask in the memory order of the weight; QexploreError for what is no mask of the layer, or keeps nothing."""
    shape = tuple(layer.weight.shape)
    if mask.dtype != torch.bool or tuple(mask.shape) != shape:
        raise QexploreError(
            f"The mask of the layer {layer.name!r} must be a bool tensor of the weight's shape {shape}, "
            f"not {mask.dtype} of {tuple(mask.shape)}."
        )
    if not bool(mask.any()):
        raise QexploreError(f"The mask of the layer {layer.name!r} keeps no weight: leave at least one.")
    return channels_last(mask)


def sparsity(mask: Tensor | None) -> float:
    """Share of the weights that the mask prunes, from 0 to 1."""
    return 0.0 if mask is None else (mask.numel() - int(mask.sum())) / mask.numel()


def bitmap(mask: Tensor | None) -> int:
    """Bits that tell which weights are kept: one for each weight outside the channels that are pruned whole.

    0 where nothing or nothing but whole output and input channels is pruned: the rest is a smaller dense tensor.
    """
    if mask is None:
        return 0
    rows, columns = (int(side.flatten(1).any(dim=1).sum()) for side in (mask, mask.transpose(0, 1)))
    cells = rows * columns * math.prod(mask.shape[2:])
    return 0 if cells == int(mask.sum()) else cells
