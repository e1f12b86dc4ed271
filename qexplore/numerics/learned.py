"""Quantizers whose scale and zero point are learned: values forward, gradients of the straight-through surrogate back.

The surrogate's derivatives (white paper §4; LSQ, Esser et al. 2020; zero point as in LSQ+, Bhalgat et al.
2020), with v = x / s and integer codes c = clamp(round(v) + z, n, p), x̂ = s (c - z):

    ∂x̂/∂x = 1 inside the grid, 0 outside
    ∂x̂/∂s = round(v) - v inside, c - z outside
    ∂x̂/∂z = 0 inside, -s outside

Tensors are rounded in units of their scale, v -> c - z, where only the clamp has a derivative that hangs on the values.
Where dividing by the scale before and multiplying with it behind are folded into the weights on both sides, the
derivative to the scale comes with the gradients of those weights, by the chain rule, and costs no pass over the
activations (project's own choice).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 17  # elements: half a megabyte, which stays in a core's cache from one operation to the next
Seen = Callable[[Tensor, float], None]
"""Told the gradient of the loss to what a quantizer gives, before anything is cut off, and the size of the unit in
which that is stored: the gradient to the real values is the one over the other."""


@dataclass(frozen=True)
class Codes:
    """Integer ends of a grid."""

    qmin: int
    qmax: int


def round_units(
    units: Tensor,
    zero: Tensor,
    codes: Codes,
    floor: Tensor | None = None,
    ceiling: Tensor | None = None,
    seen: Seen | None = None,
    unit: float = 1.0,
) -> Tensor:
    """Codes less the zero point, as floats, of values in units of the scale; differentiable to all tensors.

    units: any shape. zero: one number, rounded to the code of real 0. floor, ceiling: one number each, the bounds of
    the non-linearity before the quantizer in the same units: its clamp is part of the quantizer's, which saves a pass
    over memory each way, and where it and not the grid's end cuts off, it is what is rounded.
    unit: the scale, for `seen`.
    """
    result: Tensor = _Round.apply(units, zero, floor, ceiling, codes, seen, unit)
    return result


def round_straight(units: Tensor) -> Tensor:
    """Rounded, with the gradient of the identity."""
    result: Tensor = _Straight.apply(units)
    return result


def fake_quantize_rows(rows: Tensor, scale: Tensor, codes: Codes, seen: Seen | None = None) -> Tensor:
    """ŵ of a weight on symmetric grids, zero point 0; differentiable to rows and scale.

    rows: first dimension one slice for each scale, or any shape where there is one scale. scale: [slices].
    """
    result: Tensor = _Slicewise.apply(rows, scale, codes, seen)
    return result


def add_scaled(first: Tensor, second: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """one · first + other · second with two numbers; differentiable to all four."""
    result: Tensor = _AddScaled.apply(first, second, one, other)
    return result


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        units: Tensor,
        zero: Tensor,
        floor: Tensor | None,
        ceiling: Tensor | None,
        codes: Codes,
        seen: Seen | None,
        unit: float,
    ) -> Tensor:
        z = min(max(_whole(float(zero.detach())), codes.qmin), codes.qmax)
        low, high = float(codes.qmin - z), float(codes.qmax - z)
        # A bound of the non-linearity counts where it lies inside the grid.
        bottom = low if floor is None else max(low, float(floor.detach()))
        top = high if ceiling is None else min(high, float(ceiling.detach()))
        result = torch.empty_like(units)
        least, most = min(max(_whole(bottom), low), high), max(min(_whole(top), high), low)
        for source, target in blocks(units, result):
            torch.round(source, out=target)
            target.clamp_(least, most)
        ctx.save_for_backward(units)
        ctx.ends, ctx.bounded = (bottom, top), (bottom > low, top < high)
        ctx.seen, ctx.unit = seen, unit
        ctx.shapes = [None if each is None else each.shape for each in (zero, floor, ceiling)]
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        (units,) = ctx.saved_tensors
        if ctx.seen is not None:
            ctx.seen(gradient, ctx.unit)
        gradient = _ordered(gradient, units)
        inside = torch.ops.aten.hardtanh_backward(gradient, units, *ctx.ends)
        to: list[Tensor | None] = [None, None, None]
        beyond = [
            gradient.mul(compare(units, end)).sum() if bounded and any(ctx.needs_input_grad[1:4]) else None
            for compare, end, bounded in zip((torch.le, torch.ge), ctx.ends, ctx.bounded, strict=True)
        ]
        if ctx.needs_input_grad[1]:
            cut = _total(gradient) - _total(inside)
            for each in beyond:
                cut = cut if each is None else cut - each
            to[0] = -cut
        for place, each in enumerate(beyond, 1):
            if ctx.needs_input_grad[1 + place] and each is not None:
                to[place] = each
        shaped = [None if value is None else value.reshape(shape) for value, shape in zip(to, ctx.shapes, strict=True)]
        return inside, *shaped, None, None, None


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, units: Tensor) -> Tensor:
        return units.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _AddScaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, one: Tensor, other: Tensor) -> Tensor:
        ctx.factors = float(one.detach()), float(other.detach())
        ctx.shapes = one.shape, other.shape
        ctx.save_for_backward(first, second)
        if first.shape != second.shape or first.stride() != second.stride():
            total: Tensor = first * ctx.factors[0] + second * ctx.factors[1]
            return total
        result = torch.empty_like(first)
        for a, b, target in blocks(first, second, result):
            torch.mul(a, ctx.factors[0], out=target)
            target.add_(b, alpha=ctx.factors[1])
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        ways = [_summed(gradient * factor, v.shape) for v, factor in zip(ctx.saved_tensors, ctx.factors, strict=True)]
        moments = [
            _moment(gradient, value).reshape(shape) if needed else None
            for value, shape, needed in zip(ctx.saved_tensors, ctx.shapes, ctx.needs_input_grad[2:], strict=True)
        ]
        return ways[0], ways[1], moments[0], moments[1]


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
            ctx.seen(gradient, 1.0)
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


def blocks(*tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Tensors of one shape in flat pieces that stay in a CPU's cache, those that belong together in one tuple; whole
    where they are small, not dense in one and the same order in memory, or not on a CPU.
    """
    size = tensors[0].numel()
    if size <= 2 * BLOCK or any(x.device.type != "cpu" for x in tensors) or not _dense(*tensors):
        return [tensors]
    pieces = [torch.split(x.as_strided((size,), (1,)), BLOCK) for x in tensors]
    return list(zip(*pieces, strict=True))


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Σ first · second of two tensors of equal shape and order in memory, in float32 or finer."""
    a, b = _flat(first), _flat(second)
    return torch.dot(a, b) if a.dtype in (torch.float32, torch.float64) else (a.float() * b.float()).sum()


def _whole(number: float) -> float:
    """The nearest whole number; NaN and infinity stay, so that a training that has diverged tells so itself."""
    return float(round(number)) if math.isfinite(number) else number


def _moment(gradient: Tensor, value: Tensor) -> Tensor:
    """Σ gradient · value, where value was perhaps broadcast."""
    if gradient.shape != value.shape:
        return (gradient * value).sum()
    return dot(_ordered(gradient, value), value)


def _total(x: Tensor) -> Tensor:
    """Σ x, in float32 or finer."""
    return x.sum() if x.dtype == torch.float64 else x.sum(dtype=torch.float32)


def _dense(*tensors: Tensor) -> bool:
    """Whether tensors of one shape fill their memory without gaps and in the same order."""
    return all(x.is_contiguous() for x in tensors) or all(
        x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) for x in tensors
    )


def _flat(x: Tensor) -> Tensor:
    return x.as_strided((x.numel(),), (1,)) if _dense(x) else x.reshape(-1)


def _ordered(gradient: Tensor, like: Tensor) -> Tensor:
    """The gradient in the order in memory of `like`, so that flat pieces of both belong together."""
    if like.dim() == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return gradient.contiguous(memory_format=torch.channels_last)
    return gradient.contiguous()


def _summed(gradient: Tensor, shape: torch.Size) -> Tensor:
    """The gradient of what was broadcast from `shape`."""
    return gradient if gradient.shape == shape else gradient.sum_to_size(shape)
