"""Quantizers whose scale and zero point are learned: values forward, gradients of the straight-through surrogate back.

The surrogate's derivatives (white paper §4.1 and §4.2; LSQ, Esser et al. 2020; zero point as in LSQ+, Bhalgat et al.
2020), with v = x / s and integer codes c = clamp(round(v) + z, n, p), x̂ = s (c - z):

    ∂x̂/∂x = 1 inside the grid, 0 outside
    ∂x̂/∂s = round(v) - v inside, c - z outside
    ∂x̂/∂z = 0 inside, -s outside

Little is kept for the way back: the input and the result, which the next layer keeps anyway. With them the sum over all
elements is ∂L/∂s = (⟨g, x̂⟩ - ⟨g inside, x⟩) / s, two dot products instead of a chain of elementwise kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 18  # elements: one megabyte, which stays in a core's cache from one operation to the next
Seen = Callable[[Tensor], None]
"""Told the gradient of the loss to what a quantizer gives, before anything is cut off."""


@dataclass(frozen=True)
class Codes:
    """Integer ends of a grid, and bounds of the non-linearity before it (real values, None for none).

    qmin, qmax: least and greatest code. lower, upper: what the values are clamped to before they are rounded.
    """

    qmin: int
    qmax: int
    lower: float | None = None
    upper: float | None = None


def fake_quantize(x: Tensor, scale: Tensor, zero: Tensor, codes: Codes, seen: Seen | None = None) -> Tensor:
    """x̂ of a whole tensor on one grid, after the clamp of `codes`; differentiable to x, scale and zero.

    x: any shape. scale: one positive number, unit of x for each code. zero: one number, rounded to the code of real 0.
    Project's own choice: the clamp of the non-linearity is part of the quantizer, which saves a pass over memory each
    way; where its upper bound and not the grid's end cuts off, that bound is what is rounded.
    """
    result: Tensor = _Tensorwise.apply(x, scale, zero, codes, seen)
    return result


def fake_quantize_rows(rows: Tensor, scale: Tensor, codes: Codes, seen: Seen | None = None) -> Tensor:
    """ŵ of a weight on symmetric grids, zero point 0; differentiable to rows and scale.

    rows: first dimension one slice for each scale, or any shape where there is one scale. scale: [slices].
    """
    result: Tensor = _Slicewise.apply(rows, scale, codes, seen)
    return result


class _Tensorwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero: Tensor, codes: Codes, seen: Seen | None) -> Tensor:
        s, z = float(scale), min(max(round(float(zero)), codes.qmin), codes.qmax)
        low, high = codes.qmin - z, codes.qmax - z
        least = low if codes.lower is None else min(max(low, round(codes.lower / s)), high)
        most = high if codes.upper is None else max(min(high, round(codes.upper / s)), low)
        result = torch.empty_like(x)
        for source, target in zip(blocks(x), blocks(result)):
            torch.mul(source, 1 / s, out=target)
            target.round_().clamp_(least, most).mul_(s)
        ctx.save_for_backward(x, result)
        ctx.scale, ctx.seen, ctx.shapes = s, seen, (scale.shape, zero.shape)
        ctx.learns = ctx.needs_input_grad[1], ctx.needs_input_grad[2]
        # Where the non-linearity's bound is what cuts off, it is a value inside the grid that is rounded.
        ctx.floor = codes.lower if codes.lower is not None and codes.lower > s * low else None
        ctx.ceiling = codes.upper if codes.upper is not None and codes.upper < s * high else None
        ctx.ends = (
            s * low if ctx.floor is None else ctx.floor,
            s * high if ctx.ceiling is None else ctx.ceiling,
        )
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        x, result = ctx.saved_tensors
        if ctx.seen is not None:
            ctx.seen(gradient)
        gradient = _ordered(gradient, x)
        inside = torch.ops.aten.hardtanh_backward(gradient, x, *ctx.ends)
        to_scale = to_zero = None
        if ctx.learns[0]:
            to_scale = dot(gradient, result) - dot(inside, x)
            for bound, beyond in ((ctx.floor, torch.le), (ctx.ceiling, torch.ge)):
                if bound:  # a bound of 0 adds nothing
                    to_scale = to_scale - bound * gradient.mul(beyond(x, bound)).sum()
            to_scale = (to_scale / ctx.scale).reshape(ctx.shapes[0])
        if ctx.learns[1]:
            cut = gradient.sum() - inside.sum()
            for bound, beyond in ((ctx.floor, torch.le), (ctx.ceiling, torch.ge)):
                if bound is not None:
                    cut = cut - gradient.mul(beyond(x, bound)).sum()
            to_zero = (-ctx.scale * cut).reshape(ctx.shapes[1])
        return inside, to_scale, to_zero, None, None


class _Slicewise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, scale: Tensor, codes: Codes, seen: Seen | None) -> Tensor:
        s = along(scale, rows)
        result = rows.div(s).round_().clamp_(codes.qmin, codes.qmax).mul_(s)
        ctx.save_for_backward(rows, result, scale)
        ctx.codes, ctx.seen = codes, seen
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        rows, result, scale = ctx.saved_tensors
        if ctx.seen is not None:
            ctx.seen(gradient)
        s = along(scale, rows)
        inside = gradient * ((rows >= s * ctx.codes.qmin) & (rows <= s * ctx.codes.qmax))
        if not ctx.needs_input_grad[1]:
            return inside, None, None, None
        change = gradient.mul(result).sub_(inside * rows)
        total = change.sum().view(1) if len(scale) == 1 else change.flatten(1).sum(1)
        return inside, total / scale, None, None


def along(scale: Tensor, rows: Tensor) -> Tensor:
    """Scales [slices], shaped so that they act on the first dimension of `rows`, or on all of it where there is one."""
    return scale if len(scale) == 1 else scale.view(-1, *[1] * (rows.dim() - 1))


def blocks(x: Tensor) -> tuple[Tensor, ...]:
    """`x` in flat pieces that stay in a CPU's cache; whole where it is small, not dense, or not on a CPU."""
    dense = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    if x.numel() <= 2 * BLOCK or x.device.type != "cpu" or not dense:
        return (x,)
    return torch.split(x.as_strided((x.numel(),), (1,)), BLOCK)


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Σ first · second of two tensors of equal shape and order in memory."""
    return torch.dot(_flat(first), _flat(second))


def _flat(x: Tensor) -> Tensor:
    ordered = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.as_strided((x.numel(),), (1,)) if ordered else x.reshape(-1)


def _ordered(gradient: Tensor, like: Tensor) -> Tensor:
    """The gradient in the order in memory of `like`, so that flat pieces of both belong together."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return gradient.contiguous(memory_format=torch.channels_last)
    return gradient.contiguous()
