"""What holds on every grid, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qexplore.numerics import Range, Spec, estimate_range, grid_of, integers, quantization_error, quantize

numbers = st.floats(-1e6, 1e6, width=32)
lists = st.lists(numbers, min_size=1, max_size=40)
bits = st.integers(1, 16)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    symmetric = draw(st.booleans())
    return Spec(
        bits=draw(bits),
        symmetric=symmetric,
        signed=draw(st.none() | st.booleans()),
        granularity=draw(st.sampled_from(["tensor", "channel", 3])),
        power_of_two=symmetric and draw(st.booleans()),
    )


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.sampled_from([(), (1,), (7,), (2, 5), (3, 2, 2), (2, 4, 1, 1)]))
    count = int(np.prod(shape, dtype=int))
    return torch.tensor(draw(st.lists(numbers, min_size=count, max_size=count)), dtype=torch.float32).reshape(shape)


def spread(spec: Spec, interval: Range, values: Tensor, x: Tensor) -> Tensor:
    """One value a slice, at every element of `x`."""
    rows = spec.slices(x)
    return spec.unslice(values[:, None].expand(rows.shape), x.shape)


@given(tensors(), specs())
@settings(max_examples=200, deadline=None)
def test_codes_lie_in_the_grid_and_reals_on_it(x: Tensor, spec: Spec) -> None:
    interval = estimate_range(x, spec, "min-max")
    codes, values = integers(x, spec, interval), quantize(x, spec, interval)
    assert codes.shape == values.shape == x.shape
    assert codes.dtype == torch.int32
    assert int(codes.min()) >= spec.qmin
    assert int(codes.max()) <= spec.qmax
    grid = grid_of(spec, interval)
    zero, scale = (spread(spec, interval, t, x) for t in (grid.zero, grid.scale))
    assert torch.equal(values, (codes - zero) * scale)


@given(tensors(), specs(), st.sampled_from(["min-max", "percentile", "mse"]))
@settings(max_examples=150, deadline=None)
def test_zero_stays_zero(x: Tensor, spec: Spec, method: str) -> None:
    interval = estimate_range(x, spec, method)
    assert not quantize(torch.zeros_like(x), spec, interval).any()


@given(tensors(), specs(), st.sampled_from(["min-max", "mse"]))
@settings(max_examples=150, deadline=None)
def test_quantizing_twice_changes_nothing(x: Tensor, spec: Spec, method: str) -> None:
    interval = estimate_range(x, spec, method)
    once = quantize(x, spec, interval)
    assert torch.equal(quantize(once, spec, interval), once)
    assert torch.equal(integers(once, spec, interval), integers(x, spec, interval))


@given(lists, specs(), numbers, numbers)
@settings(max_examples=150, deadline=None)
def test_order_is_kept(values: list[float], spec: Spec, one: float, other: float) -> None:
    x = torch.tensor(sorted(values))
    spec = Spec(spec.bits, spec.symmetric, spec.signed, "tensor", spec.power_of_two)
    interval = Range(torch.tensor([min(one, other)]), torch.tensor([max(one, other)]))
    assert bool((quantize(x, spec, interval).diff() >= 0).all())


@given(tensors(), specs())
@settings(max_examples=200, deadline=None)
def test_inside_the_range_the_error_is_at_most_half_a_step(x: Tensor, spec: Spec) -> None:
    interval = estimate_range(x, spec, "min-max")
    grid = grid_of(spec, interval)
    scale = spread(spec, interval, grid.scale, x)
    lo, hi = (spread(spec, interval, end, x) for end in (grid.span.lo, grid.span.hi))
    error = (quantize(x, spec, interval) - x).abs()
    inside = (x >= lo) & (x <= hi)
    # A float32 has 24 bits: on a 16-bit grid its own rounding shows beside half a step.
    assert bool((error <= scale * (0.5 + 2**-7))[inside].all())
    assert bool((error <= torch.maximum(x - hi, lo - x) * (1 + 1e-5) + scale * 2**-7)[~inside].all())


@given(lists, st.integers(2, 16), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_min_max_clips_nothing(values: list[float], bits: int, symmetric: bool, power: bool) -> None:
    x = torch.tensor(values)
    spec = Spec(bits, symmetric, power_of_two=symmetric and power)
    interval = estimate_range(x, spec, "min-max")
    step = float(grid_of(spec, interval).scale)
    assert float((quantize(x, spec, interval) - x).abs().max()) <= step * (0.5 + 2**-7)


@given(st.integers(-40, 40), bits, st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_scale_that_is_a_power_of_two_stays(exponent: int, bits: int, signed: bool) -> None:
    spec = Spec(bits, signed=signed, power_of_two=True)
    scale = 2.0**exponent
    interval = Range(torch.tensor([spec.qmin * scale]), torch.tensor([spec.qmax * scale]))
    grid = grid_of(spec, interval)
    assert float(grid.scale) == scale
    assert float(grid_of(spec, grid.span).scale) == scale


@given(lists, st.integers(2, 16))
@settings(max_examples=100, deadline=None)
def test_a_power_of_two_is_less_than_twice_the_scale_that_it_replaces(values: list[float], bits: int) -> None:
    interval = estimate_range(torch.tensor(values), Spec(bits), "min-max")
    free, power = (float(grid_of(Spec(bits, power_of_two=p), interval).scale) for p in (False, True))
    assert free * (1 - 1e-5) <= power < 2 * free
    assert np.frexp(power)[0] == 0.5


@given(tensors(), specs(), st.sampled_from(["min-max", "mse"]))
@settings(max_examples=150, deadline=None)
def test_the_error_is_that_of_quantize_split_in_two(x: Tensor, spec: Spec, method: str) -> None:
    interval = estimate_range(x, spec, method)
    error = quantization_error(x, spec, interval)
    want = float((quantize(x, spec, interval) - x).double().square().mean())
    assert error.mse == pytest.approx(want, rel=1e-6, abs=1e-30)
    assert min(error.rounding, error.clipping) >= 0


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_codes_of_a_full_grid_are_all_reached(bits: int, symmetric: bool) -> None:
    spec = Spec(bits, symmetric)
    codes = torch.arange(spec.qmin, spec.qmax + 1)
    interval = Range(codes[:1].float(), codes[-1:].float())
    assert torch.equal(integers(codes, spec, interval), codes.int())


def test_ties_go_to_the_even_code() -> None:
    interval = Range(torch.tensor([0.0]), torch.tensor([255.0]))
    assert integers(torch.tensor([0.5, 1.5, 2.5, 3.5]), Spec(symmetric=False), interval).tolist() == [0, 2, 2, 4]


def test_groups_of_a_channel_have_grids_of_their_own_and_the_last_may_be_short() -> None:
    x = torch.tensor([[1.0, 1.0, 1.0, 100.0, 100.0], [2.0, 2.0, 2.0, 5.0, 5.0]])
    spec = Spec(2, signed=False, granularity=3)
    interval = estimate_range(x, spec, "min-max")
    assert interval.hi.tolist() == [1, 100, 2, 5]
    assert torch.allclose(quantize(x, spec, interval), x)


@pytest.mark.parametrize("granularity", ["tensor", "channel", 3])
def test_one_range_serves_every_slice(granularity: str | int) -> None:
    x = torch.linspace(-1, 1, 12).reshape(2, 6)
    wide = Range(torch.tensor([-2.0]), torch.tensor([2.0]))
    want = quantize(x, Spec(4), wide)
    assert torch.equal(quantize(x, Spec(4, granularity=granularity), wide), want)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_every_real_type_is_quantized_as_float32(dtype: torch.dtype) -> None:
    x = torch.tensor([0, 1, 1, 0]).to(dtype)
    interval = estimate_range(x, Spec(), "min-max")
    assert quantize(x, Spec(), interval).tolist() == pytest.approx([0, 1, 1, 0])
    assert integers(x, Spec(), interval).tolist() == [0, 127, 127, 0]


def test_parameters_are_quantized_and_judged_without_a_gradient_in_the_way(recwarn: pytest.WarningsRecorder) -> None:
    x = torch.nn.Parameter(torch.linspace(-1, 1, 20))
    interval = estimate_range(x, Spec(4), "mse")
    assert quantization_error(x, Spec(4), interval).mse > 0
    assert integers(x, Spec(4), interval).dtype == torch.int32
    assert x.grad is None
    assert not recwarn.list


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("granularity", ["tensor", "channel", 2])
def test_of_nothing_nothing_is_quantized(shape: tuple[int, ...], granularity: str | int) -> None:
    spec = Spec(granularity=granularity)  # type: ignore[arg-type]
    one = Range(torch.tensor([0.0]), torch.tensor([1.0]))
    assert quantize(torch.zeros(shape), spec, one).shape == shape


def test_the_widest_range_of_floats_has_a_grid() -> None:
    end = torch.tensor([3e38])
    grid = grid_of(Spec(symmetric=False), Range(-end, end))
    assert bool(torch.isfinite(grid.scale).all())
    assert not quantize(torch.zeros(3), Spec(symmetric=False), Range(-end, end)).any()


def test_one_signed_bit_fits_its_negative_side_whatever_lies_on_the_other() -> None:
    x = torch.tensor([-1.0, 5.0, 0.0])
    interval = estimate_range(x, Spec(1), "min-max")
    assert quantize(x, Spec(1), interval).tolist() == [-1, 0, 0]
