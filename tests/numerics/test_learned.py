"""Learned quantizers: values equal the grid's own, gradients equal finite differences of the surrogate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qexplore.numerics import Range, Spec, grid_of
from qexplore.numerics.learned import BLOCK, Codes, add_scaled, blocks, fake_quantize_rows, round_straight, round_units
from tests.numerics.whole import fake_quantize

Surrogate = Callable[[Tensor, Tensor, Tensor], Tensor]
STEP = 1e-6
BITS = st.sampled_from((2, 3, 4, 8))
SEEDS = st.integers(0, 10_000)


def surrogate(
    x: Tensor, scale: Tensor, zero: Tensor, codes: Codes, lower: float | None = None, upper: float | None = None
) -> Surrogate:
    """The quantizer with what rounding adds held fixed: piecewise smooth, with the straight-through derivatives."""

    def units(x: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
        bounded = x.clamp(lower, upper) if (lower, upper) != (None, None) else x
        return torch.minimum(torch.maximum(bounded / scale, codes.qmin - zero), codes.qmax - zero)

    whole = zero.round()
    added = units(x, scale, whole).round() - units(x, scale, whole)
    return lambda x, s, z: s * (units(x, s, z + (whole - zero)) + added)


def away(x: Tensor, *kinks: Tensor | float) -> Tensor:
    """1 where a difference quotient does not straddle a kink of the surrogate, else 0."""
    near = [(x - kink).abs() < 1e-3 * (1 + abs(kink)) for kink in kinks]
    return 1.0 - torch.stack(near).any(0).double()


def slope(f: Callable[[Tensor], Tensor], at: Tensor, weights: Tensor) -> float:
    return float(((f(at + STEP) - f(at - STEP)) * weights).sum() / (2 * STEP))


@settings(deadline=None)  # the first call of a kernel takes long
@given(SEEDS, BITS, st.sampled_from(("free", "relu", "relu6")), st.floats(0.05, 1.5))
def test_gradients_are_finite_differences_of_the_surrogate(seed: int, bits: int, shape: str, width: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, gradient = torch.randn(2, 41, dtype=torch.float64, generator=generator) * 2
    lower, upper = {"free": (None, None), "relu": (0.0, None), "relu6": (0.0, 1.7)}[shape]
    codes = Codes(0, 2**bits - 1)
    zero = torch.tensor(1.3 if shape == "free" else 0.0, dtype=torch.float64)
    scale = torch.tensor([4 * width / 2**bits], dtype=torch.float64)
    ends = [float(scale) * (code - float(zero.round())) for code in (codes.qmin, codes.qmax)]
    gradient = gradient * away(x, *ends, *(bound for bound in (lower, upper) if bound is not None))
    given_x, given_scale, given_zero = (value.clone().requires_grad_() for value in (x, scale, zero))
    result = fake_quantize(given_x, given_scale, given_zero, codes, lower, upper)
    result.backward(gradient)
    f = surrogate(x, scale, zero, codes, lower, upper)
    assert torch.allclose(result.detach(), f(x, scale, zero))
    assert float(given_scale.grad) == pytest.approx(slope(lambda s: f(x, s, zero), scale, gradient), rel=1e-5, abs=1e-6)
    to_x = (f(x + STEP, scale, zero) - f(x - STEP, scale, zero)) * gradient / (2 * STEP)
    assert torch.allclose(given_x.grad, to_x, atol=1e-6)
    if shape == "free":
        by_zero = slope(lambda z: f(x, scale, z), zero, gradient)
        assert float(given_zero.grad) == pytest.approx(by_zero, rel=1e-5, abs=1e-6)


@settings(deadline=None)  # the first call of a kernel takes long
@given(SEEDS, BITS, st.sampled_from((1, 5)))
def test_gradients_of_weights_are_finite_differences_of_the_surrogate(seed: int, bits: int, slices: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    w, gradient = torch.randn(2, 5, 3, 2, dtype=torch.float64, generator=generator)
    scale = torch.rand(slices, dtype=torch.float64, generator=generator) / 2**bits * 4 + 0.01
    codes = Codes(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    ends = [scale.view(-1, 1, 1) * code for code in (codes.qmin, codes.qmax)]
    gradient = gradient * away(w, *ends)
    given_w, given_scale = w.clone().requires_grad_(), scale.clone().requires_grad_()
    fake_quantize_rows(given_w, given_scale, codes).backward(gradient)
    no_zero = torch.zeros((), dtype=torch.float64)
    for k in range(slices):
        part, weights = (w, gradient) if slices == 1 else (w[k], gradient[k])
        f = surrogate(part, scale[k], no_zero, codes)
        by_scale = slope(lambda s, f=f, part=part: f(part, s, no_zero), scale[k], weights)
        assert float(given_scale.grad[k]) == pytest.approx(by_scale, rel=1e-5, abs=1e-6)
        to_w = (f(part + STEP, scale[k], no_zero) - f(part - STEP, scale[k], no_zero)) * weights / (2 * STEP)
        assert torch.allclose(given_w.grad if slices == 1 else given_w.grad[k], to_w, atol=1e-6)


@settings(deadline=None)  # the first call of a kernel takes long
@given(SEEDS, BITS, st.booleans())
def test_values_are_those_of_the_grid(seed: int, bits: int, symmetric: bool) -> None:
    x = torch.randn(200, generator=torch.Generator().manual_seed(seed))
    spec = Spec(bits=bits, symmetric=symmetric)
    grid = grid_of(spec, Range(torch.tensor([-1.4]), torch.tensor([2.2])))
    got = fake_quantize(x, grid.scale, grid.zero[0], Codes(spec.qmin, spec.qmax))
    wanted = grid.values(grid.codes(x[None]))[0]
    # Dividing and multiplying by the inverse differ where a value lies between two codes to the last digit.
    tie = ((x / grid.scale) % 1 - 0.5).abs() < 1e-4
    assert torch.allclose(got[~tie], wanted[~tie], atol=1e-6)


def test_large_images_in_blocks_give_what_small_ones_do() -> None:
    x = torch.randn(3, 64, 60, 64).contiguous(memory_format=torch.channels_last)
    assert len(blocks(x)) > 1
    scale, zero, codes = torch.tensor([0.1]), torch.tensor(3.0), Codes(0, 15)
    parts = [fake_quantize(image[None], scale, zero, codes) for image in x]
    assert torch.equal(fake_quantize(x, scale, zero, codes), torch.cat(parts))


def test_the_gradient_to_the_result_is_shown_before_anything_is_cut_off() -> None:
    seen: list[tuple[list[float], float]] = []
    x = torch.tensor([-5.0, 3.3, 19.0], requires_grad=True)
    codes, zero = Codes(0, 15), torch.tensor(0.0)
    round_units(x, zero, codes, seen=lambda g, unit: seen.append((g.tolist(), unit)), unit=0.5).sum().backward()
    assert seen == [([1, 1, 1], 0.5)]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 0]


@settings(deadline=None)
@given(SEEDS, st.booleans())
def test_a_sum_in_other_units_has_the_derivatives_of_the_plain_one(seed: int, broadcast: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    one = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    other = torch.randn(2, 3, 1 if broadcast else 4, 4, dtype=torch.float64, generator=generator)
    factors = torch.randn(2, dtype=torch.float64, generator=generator)
    inputs = [value.clone().requires_grad_() for value in (one, other, factors[0], factors[1])]
    assert torch.autograd.gradcheck(add_scaled, inputs)


LARGE = (4, 4, 2 * BLOCK // 256, 32)  # twice as many values as are taken whole
LAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda x: x,
    "channels-last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "chunk": lambda x: torch.cat([x, x], 1).chunk(2, 1)[1],
    "chunk-of-channels-last": lambda x: (
        torch.cat([x, x], 1).contiguous(memory_format=torch.channels_last).chunk(2, 1)[1]
    ),
    "expanded": lambda x: x[:, :1].expand(x.shape),
    "transposed": lambda x: x.mT.contiguous().mT,
}


@pytest.mark.parametrize("lay", LAYS)
@pytest.mark.filterwarnings("error")
def test_large_tensors_of_any_order_in_memory_are_rounded_with_the_right_values_and_gradients(lay: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, gradient = torch.randn(2, *LARGE, generator=generator) * 5
    x = LAYS[lay](x)
    zero, codes, floor = torch.tensor(2.0, requires_grad=True), Codes(0, 15), torch.tensor(-1.2, requires_grad=True)
    units = x.detach().requires_grad_()
    result = round_units(units, zero, codes, floor)
    assert torch.equal(result, x.clamp(-1.2, 13).round().clamp(-2, 13))
    result.backward(gradient)
    assert torch.equal(units.grad, gradient * ((x > -1.2) & (x < 13)))
    assert float(zero.grad) == pytest.approx(-float(gradient[x >= 13].double().sum()), rel=1e-2, abs=0.5)
    assert float(floor.grad) == pytest.approx(float(gradient[x <= -1.2].double().sum()), rel=1e-2, abs=0.5)
    assert torch.equal(round_straight(x), x.round())


@pytest.mark.parametrize("other", LAYS)
@pytest.mark.parametrize("lay", LAYS)
@pytest.mark.filterwarnings("error")
def test_large_tensors_of_any_order_in_memory_are_added_with_the_right_values_and_gradients(
    lay: str, other: str
) -> None:
    generator = torch.Generator().manual_seed(1)
    first, second, gradient = torch.randn(3, *LARGE, generator=generator)
    inputs = [LAYS[lay](first), LAYS[other](second), torch.tensor(0.5), torch.tensor(-3.0)]
    leaves = [value.detach().requires_grad_() for value in inputs]
    result = add_scaled(*leaves)
    torch.testing.assert_close(result.detach(), 0.5 * inputs[0] - 3 * inputs[1])
    result.backward(gradient)
    assert torch.equal(leaves[0].grad, 0.5 * gradient)
    assert torch.equal(leaves[1].grad, -3 * gradient)
    for leaf, value in zip(leaves[2:], inputs[:2], strict=True):
        assert float(leaf.grad) == pytest.approx(float((gradient.double() * value).sum()), rel=1e-3, abs=0.5)


def test_pieces_that_belong_together_are_of_one_order_in_memory_or_whole() -> None:
    x = torch.randn(LARGE)
    last = x.contiguous(memory_format=torch.channels_last)
    assert len(blocks(x, x.clone())) == len(blocks(last, last.clone())) == 4
    for a, b in blocks(last, last * 2):
        assert torch.equal(a * 2, b)
    assert [len(blocks(*pair)) for pair in ((x, last), (x, x[:, :1].expand(x.shape)), (last, x))] == [1, 1, 1]
