"""Clamps: of real numbers, in place where that is wanted, and the codes between which one lies on a grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qexplore.network.graph import Bound
from qexplore.numerics import Grid


def clamp(x: Tensor, lower: Bound, upper: Bound, *, inplace: bool = False) -> Tensor:
    """`x` between two bounds; None is no bound, a tensor one bound a channel."""
    if lower is None and upper is None:
        return x
    if isinstance(lower, Tensor) or isinstance(upper, Tensor):
        low = None if lower is None else torch.as_tensor(lower, dtype=x.dtype)
        high = None if upper is None else torch.as_tensor(upper, dtype=x.dtype)
        return x.clamp_(low, high) if inplace else x.clamp(low, high)
    # The gradients of these two need one kernel and no copy of the input; that of a general clamp takes five.
    if lower == 0 and upper is None:
        return x.relu_() if inplace else x.relu()
    if lower is not None and upper is not None:
        if inplace and x.requires_grad and torch.is_grad_enabled():
            clamped: Tensor = _ClampInPlace.apply(x, lower, upper)
            return clamped
        return nn.functional.hardtanh(x, lower, upper, inplace=inplace)
    return x.clamp_(lower, upper) if inplace else x.clamp(lower, upper)


class _ClampInPlace(torch.autograd.Function):
    """hardtanh_ whose gradient looks at the result, which is kept anyway; torch's own keeps a copy of the input."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lower: float, upper: float) -> Tensor:
        ctx.mark_dirty(x)
        nn.functional.hardtanh_(x, lower, upper)
        ctx.save_for_backward(x)
        ctx.bounds = lower, upper
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, result, *ctx.bounds), None, None


def code_bounds(grid: Grid, lower: Bound, upper: Bound) -> tuple[float, float | Tensor]:
    """Least and greatest code less the zero point, within the bounds of a non-linearity (real values)."""
    scale, zero = float(grid.scale), float(grid.zero)
    low, high = grid.qmin - zero, grid.qmax - zero
    bottom = low if lower is None else min(max(low, round(float(lower) / scale)), high)
    if isinstance(upper, Tensor):
        return bottom, (upper / scale).round().clamp(low, high)
    return bottom, high if upper is None else max(low, min(high, round(float(upper) / scale)))
