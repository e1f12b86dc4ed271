"""What cannot be quantized is told in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from qexplore.errors import QexploreError, UnknownName
from qexplore.numerics import BadSpec, NotFinite, Range, Spec, estimate_range, integers, quantization_error, quantize

ONE = Range(torch.tensor([0.0]), torch.tensor([1.0]))


@pytest.mark.parametrize("bits", [0, 17, -1, 2.5, True, "eight", None])
def test_bits_are_whole_numbers_from_1_to_16(bits: Any) -> None:
    with pytest.raises(BadSpec, match="1 to 16 bits"):
        Spec(bits)


@pytest.mark.parametrize("granularity", ["channels", 0, -3, True, None, 1.5, [4]])
def test_granularity_is_tensor_channel_or_a_number(granularity: Any) -> None:
    with pytest.raises(BadSpec, match="granularity"):
        Spec(granularity=granularity)


@pytest.mark.parametrize("name", ["symmetric", "signed", "power_of_two"])
def test_flags_are_true_or_false(name: str) -> None:
    with pytest.raises(BadSpec, match=f"{name!r}.*true or false.*'no'"):
        Spec(**{name: "no"})


def test_a_power_of_two_needs_a_symmetric_grid() -> None:
    with pytest.raises(BadSpec, match="symmetric=True"):
        Spec(symmetric=False, power_of_two=True)


@pytest.mark.parametrize("x", [torch.zeros(0), torch.zeros(0, 3), torch.zeros(3, 0)])
@pytest.mark.parametrize("granularity", ["tensor", "channel", 2])
@pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
def test_an_empty_tensor_has_no_range(x: Tensor, granularity: Any, method: str) -> None:
    with pytest.raises(NotFinite, match="empty"):
        estimate_range(x, Spec(granularity=granularity), method)


def test_an_empty_tensor_has_no_error() -> None:
    with pytest.raises(QexploreError, match="empty"):
        quantization_error(torch.zeros(0), Spec(), ONE)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("granularity", ["tensor", "channel", 2])
def test_nan_and_infinity_have_no_range(bad: float, granularity: Any) -> None:
    x = torch.randn(3, 5)
    x[1, 3] = bad
    with pytest.raises(NotFinite, match="NaN or infinity"):
        estimate_range(x, Spec(granularity=granularity), "mse")


@pytest.mark.parametrize("do", [quantize, integers])
@pytest.mark.parametrize(("granularity", "ends"), [("tensor", 3), ("channel", 2), (2, 5)])
def test_a_range_fits_the_slices_of_the_tensor(do: Any, granularity: Any, ends: int) -> None:
    interval = Range(torch.zeros(ends), torch.ones(ends))
    with pytest.raises(QexploreError, match=f"range has {ends} values"):
        do(torch.randn(3, 4), Spec(granularity=granularity), interval)


@pytest.mark.parametrize("percent", [50, 100.1, 0, -3, float("nan")])
def test_a_percentile_lies_above_50(percent: float) -> None:
    with pytest.raises(QexploreError, match="above 50"):
        estimate_range(torch.randn(9), Spec(), "percentile", percent=percent)


def test_options_that_an_estimator_does_not_take_are_refused() -> None:
    with pytest.raises(QexploreError, match=r"'min-max' does not take.*percent"):
        estimate_range(torch.randn(9), Spec(), "min-max", percent=99)
    with pytest.raises(QexploreError, match="'percentile' does not take"):
        estimate_range(torch.randn(9), Spec(), "percentile", percent="many")


def test_an_unknown_estimator_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"percentil.*percentile"):
        estimate_range(torch.randn(9), Spec(), "percentil")


@pytest.mark.parametrize("x", [torch.zeros(5), torch.full((3,), 1e-42)])
@pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_what_is_all_zero_quantizes_to_zero(x: Tensor, method: str, symmetric: bool) -> None:
    spec = Spec(3, symmetric)
    assert not quantize(x, spec, estimate_range(x, spec, method)).any()
    assert quantization_error(torch.zeros(5), spec, ONE).sqnr_db == float("inf")


def test_all_negative_numbers_vanish_on_an_unsigned_symmetric_grid() -> None:
    x, spec = torch.tensor([-1.0, -2.0]), Spec(4, signed=False)
    interval = estimate_range(x, spec, "mse")
    assert not quantize(x, spec, interval).any()
    assert quantization_error(x, spec, interval).clipping == pytest.approx(2.5)


def test_a_group_larger_than_a_channel_is_the_channel() -> None:
    x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    for size in (15, 16, 10**18):
        group, channel = Spec(bits=3, granularity=size), Spec(bits=3, granularity="channel")
        grouped, whole = (quantize(x, spec, estimate_range(x, spec)) for spec in (group, channel))
        assert torch.equal(grouped, whole)
