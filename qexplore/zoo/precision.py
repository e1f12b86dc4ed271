"""Networks whose weights are in another precision than float32, in which qexplore evaluates and quantizes."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import nn


def in_float32(model: nn.Module) -> nn.Module:
    """The model itself where its numbers are float32; else a copy that has them so (float16, bfloat16, float64), and
    the user's stays as it is.
    """
    numbers = chain(model.parameters(), model.buffers())
    if all(value.dtype == torch.float32 or not value.is_floating_point() for value in numbers):
        return model
    return copy.deepcopy(model).float()
