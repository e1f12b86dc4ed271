"""Known answers: the best quantizer of a normal distribution, and whatever fine brute force finds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from qexplore.numerics import Range, Rows, Spec, apply_estimator, estimate_range, grid_of, quantization_error

SAMPLE = 1 << 19  # its greatest number is 4.8: the tails count at 8 bits
# bits: best scale, mean squared error, SQNR in dB (project's own computation of the integral over N(0, 1))
SIGNED = {
    2: (1.0484, 1.494e-1, 8.26),
    3: (0.6018, 4.064e-2, 13.91),
    4: (0.3386, 1.186e-2, 19.26),
    5: (0.1888, 3.526e-3, 24.53),
    6: (0.1042, 1.043e-3, 29.82),
    8: (0.0308, 8.771e-5, 40.57),
}
HALF = {
    2: (0.6508, 4.686e-2),
    3: (0.3534, 1.289e-2),
    4: (0.1932, 3.693e-3),
    6: (0.0573, 3.086e-4),
    8: (0.0165, 2.501e-5),
}
MIN_MAX_AT_4 = {2: 8.64e-1, 3: 1.48e-1, 4: 2.72e-2, 5: 5.93e-3, 6: 1.39e-3, 8: 8.88e-5}


def normal(count: int = SAMPLE) -> Tensor:
    """Numbers with the distribution N(0, 1), evenly through its quantiles: a sample without chance."""
    return torch.special.ndtri((torch.arange(count, dtype=torch.float64) + 0.5) / count).float()


@pytest.mark.parametrize("bits", SIGNED)
def test_the_best_signed_grid_of_a_normal_distribution(bits: int) -> None:
    scale, mse, sqnr = SIGNED[bits]
    x, spec = normal(), Spec(bits)
    interval = estimate_range(x, spec, "mse")
    found = quantization_error(x, spec, interval)
    assert found.mse == pytest.approx(mse, rel=0.01)
    assert found.sqnr_db == pytest.approx(sqnr, abs=0.05)
    assert float(grid_of(spec, interval).scale) == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize("bits", HALF)
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_best_unsigned_grid_of_a_half_normal_distribution(bits: int, symmetric: bool) -> None:
    scale, mse = HALF[bits]
    x, spec = normal().abs(), Spec(bits, symmetric, signed=False)
    interval = estimate_range(x, spec, "mse")
    assert quantization_error(x, spec, interval).mse == pytest.approx(mse, rel=0.01 if bits < 8 else 0.02)
    assert float(grid_of(spec, interval).scale) == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize("bits", MIN_MAX_AT_4)
def test_the_error_of_a_normal_distribution_on_a_grid_of_plus_minus_four(bits: int) -> None:
    interval = Range(torch.tensor([-4.0]), torch.tensor([4.0]))
    # The symmetric grid that just reaches +4 has the scale 4 / qmax.
    found = quantization_error(normal(), Spec(bits), interval).mse
    assert found == pytest.approx(MIN_MAX_AT_4[bits], rel=0.02)


def test_three_errors_worked_out_by_hand() -> None:
    x = torch.tensor([0.4, 1.0, 2.5, 10.0])  # scale 1, codes -4 … 3: 0, 1, 2 (tie to even), 3
    found = quantization_error(x, Spec(3), Range(torch.tensor([-4.0]), torch.tensor([3.0])))
    assert found.rounding == pytest.approx((0.16 + 0.25) / 4)
    assert found.clipping == pytest.approx(49 / 4)
    assert found.signal == pytest.approx(float(x.square().mean()))


def brute_force(x: Tensor, spec: Spec, lo: Tensor, hi: Tensor) -> float:
    """The least error over all the given ranges, element by element in float64."""
    grid = grid_of(spec, Range(lo, hi))
    scale, zero = grid.scale.double()[:, None], grid.zero.double()[:, None]
    codes = (x.double() / scale).round().add(zero).clamp(spec.qmin, spec.qmax)
    return float(((codes - zero) * scale - x).square().mean(dim=1).min())


CASES = {
    "normal": lambda n: torch.randn(n),
    "half normal": lambda n: torch.randn(n).relu(),
    "long tails": lambda n: torch.randn(n) * torch.rand(n).log().abs() ** 1.5,
    "one outlier": lambda n: torch.cat([torch.randn(n - 1), torch.tensor([50.0])]),
    "uniform": lambda n: torch.rand(n),
    "steps": lambda n: torch.randint(0, 9, (n,)).float(),
    "negative": lambda n: -torch.rand(n).square(),
}


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("case", CASES)
def test_one_clip_point_is_found_as_by_brute_force(case: str, bits: int) -> None:
    torch.manual_seed(bits)
    x, spec = CASES[case](2000), Spec(bits, signed=bool(case != "half normal"))
    lo, hi = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    share = torch.linspace(1 / 600, 1, 600)
    best = brute_force(x, spec, lo * share, hi * share)
    found = quantization_error(x, spec, estimate_range(x, spec, "mse")).mse
    # Of ten different numbers alone the error is all jags, and brute force may hit a luckier one.
    assert found <= best * (1.05 if case == "steps" else 1.01) + 1e-12


MASSIVE = {
    # elements N(0, 1), what outliers are added, and the greatest clip point that brute force tries
    "one": (1_000_000, [400.0], 6.0),
    "one on each side": (1_000_000, [500.0, -300.0], 6.0),
    "one that is nearly worth its room": (1_000_000, [900.0], 6.0),
    "one beside many that are worth theirs": (1_000_000, [800.0, *[25.0] * 900], 40.0),
}


@pytest.mark.parametrize("method", ["mse", "golden-section"])
@pytest.mark.parametrize(("bits", "symmetric"), [(2, True), (4, True), (4, False), (8, False)])
@pytest.mark.parametrize("case", MASSIVE)
def test_rare_massive_outliers_hide_no_range(case: str, bits: int, symmetric: bool, method: str) -> None:
    count, outliers, most = MASSIVE[case]
    x, spec = torch.cat([normal(count), torch.tensor(outliers)]), Spec(bits, symmetric)
    error = quantization_error(x, spec, estimate_range(x, spec, method)).mse
    tried = []
    for end in torch.linspace(1, most, 40):
        tried.append(quantization_error(x, spec, Range(-end.clamp(max=6).view(1), end.view(1))).mse)
    full = quantization_error(x, spec, estimate_range(x, spec, "min-max")).mse
    # Golden section finds one valley, which need not be the lowest.
    assert error <= min(*tried, full) * (1.01 if method == "mse" else 1.2)


@pytest.mark.parametrize("power", [True, False])
@pytest.mark.parametrize("zeros", [0, 30_000])
def test_rows_without_outliers_keep_their_range_beside_rows_with_some(power: bool, zeros: int) -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.randn(6, 20_000), torch.zeros(6, zeros)], dim=1)
    x[1, 3], x[4, 7] = 120.0, -9e6
    spec = Spec(4, granularity="channel", power_of_two=power)
    found, one = estimate_range(x, spec, "mse"), Spec(4, power_of_two=power)
    alone = [estimate_range(row, one, "mse") for row in x]
    assert found.lo.tolist() == [float(each.lo) for each in alone]
    assert found.hi.tolist() == [float(each.hi) for each in alone]
    assert float(found.hi[1]) < 8
    assert float(found.hi[4] - found.lo[4]) > 1e6  # so far out that to clip it would cost more than all the others


def test_an_outlier_that_the_sample_lacks_does_not_blow_the_range_up() -> None:
    rows = Rows.of(normal(1 << 17)[None], ends=(torch.tensor([-5.0]), torch.tensor([2000.0])))
    for method in ("mse", "golden-section"):
        found = apply_estimator(rows, Spec(4, symmetric=False), method, {})
        assert float(found.hi) < 6
        assert float(found.lo) > -6


def test_a_range_between_the_core_and_the_outliers_is_found_too() -> None:
    rows = Rows.of(
        torch.cat([normal(1 << 17), torch.full((100,), 25.0)])[None], ends=(torch.tensor([-5.0]), torch.tensor([1e5]))
    )
    for method in ("mse", "golden-section"):
        found = apply_estimator(rows, Spec(8, symmetric=False), method, {})
        assert float(found.hi) == pytest.approx(25, abs=1)


@pytest.mark.parametrize("elements", [1, 2, 9, 25, 64])
@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_channels_of_few_weights_find_their_lowest_valley(elements: int, bits: int) -> None:
    torch.manual_seed(elements)
    x, spec = torch.randn(200, elements), Spec(bits, granularity="channel")
    found = estimate_range(x, spec, "mse")
    excess = []
    for row, lo, hi in zip(x, found.lo, found.hi):
        one = Spec(bits)
        share = torch.linspace(0.4, 1, 600)
        best = brute_force(row, one, row.min().clamp(max=0) * share, row.max().clamp(min=0) * share)
        error = quantization_error(row, one, Range(lo[None], hi[None])).mse
        excess.append((error + 1e-9 * float(row.square().mean())) / (best + 1e-9 * float(row.square().mean())))
    assert float(torch.tensor(excess).mean()) <= 1.01


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_two_clip_points_are_found_as_by_brute_force(bits: int) -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.randn(1500) - 0.5, torch.randn(300).exp()])
    spec = Spec(bits, symmetric=False)
    low, high = torch.cartesian_prod(torch.linspace(0.05, 1, 70), torch.linspace(0.05, 1, 70)).T
    best = brute_force(x, spec, x.min() * low, x.max() * high)
    assert quantization_error(x, spec, estimate_range(x, spec, "mse")).mse <= best * 1.01


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=60),
    st.integers(1, 16),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@example(values=[7.4e-37], bits=4, symmetric=False, signed=False, power=False)
@example(values=[7.4e-37, -3e-37], bits=4, symmetric=False, signed=True, power=False)
@settings(max_examples=150, deadline=None)
def test_least_squares_is_never_worse_than_min_max(
    values: list[float], bits: int, symmetric: bool, signed: bool, power: bool
) -> None:
    x, spec = torch.tensor(values), Spec(bits, symmetric, signed, power_of_two=symmetric and power)
    least, full = (quantization_error(x, spec, estimate_range(x, spec, name)).mse for name in ("mse", "min-max"))
    # Squared errors are float32: below its least normal number no two of them are told apart.
    assert least <= full * (1 + 1e-5) + 1e-12 * float(x.double().square().max()) + torch.finfo(torch.float32).tiny


@pytest.mark.parametrize("bits", [9, 10, 12])
@pytest.mark.parametrize("case", CASES)
def test_least_squares_is_never_worse_than_min_max_on_fine_grids_either(case: str, bits: int) -> None:
    torch.manual_seed(0)
    x, spec = CASES[case](20_000), Spec(bits, symmetric=False)
    least, full = (quantization_error(x, spec, estimate_range(x, spec, name)).mse for name in ("mse", "min-max"))
    assert least <= full * (1 + 1e-6) + 1e-15


def test_the_zeros_of_a_relu_do_not_pull_a_fine_grid_together() -> None:
    x = torch.cat([torch.zeros(19_000), normal(1000).abs()])
    spec = Spec(9, symmetric=False)
    share = torch.linspace(0.3, 1, 200)
    best = brute_force(x, spec, 0 * share, x.max() * share)
    assert quantization_error(x, spec, estimate_range(x, spec, "mse")).mse <= best * 1.03


@pytest.mark.parametrize("bits", [9, 10, 12])
def test_negative_numbers_have_the_mirrored_range_of_positive_ones_on_fine_grids_too(bits: int) -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.zeros(300_000), torch.distributions.Exponential(1.0).sample((40_000,))])
    spec = Spec(bits, symmetric=False)
    up, down = (estimate_range(each, spec, "mse") for each in (x, -x))
    assert float(down.lo) == pytest.approx(-float(up.hi), rel=1e-6)
    errors = [quantization_error(each, spec, interval).mse for each, interval in ((x, up), (-x, down))]
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)


def test_the_uniform_noise_of_a_grid_that_ends_at_zero_is_never_negative() -> None:
    x = torch.cat([torch.zeros(300_000), -torch.rand(40_000)])
    rows = Rows.of(x[None])
    scale = torch.tensor([[0.5, 1.0, 2.0]]) / 1023
    found = rows._by_noise(scale, torch.full((1, 3), 1023.0), 0, 1023)
    exact = rows._by_element(scale, torch.full((1, 3), 1023.0), 0, 1023)
    assert torch.allclose(found, exact, rtol=0.02)


@pytest.mark.parametrize(("qmin", "qmax"), [(-2, 1), (0, 15), (-128, 127)])
def test_errors_summed_by_levels_by_elements_and_by_noise_agree(qmin: int, qmax: int) -> None:
    torch.manual_seed(3)
    rows = Rows.of(torch.stack([torch.randn(4000), torch.rand(4000) * 3 - 0.4]))
    scale = torch.tensor([[0.9, 0.3, 0.01], [0.2, 0.05, 0.004]])
    zero = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0]]) if qmin == 0 else torch.zeros(2, 3)
    level, element = rows._by_level(scale, zero, qmin, qmax), rows._by_element(scale, zero, qmin, qmax)
    assert torch.allclose(level, element, rtol=1e-5)
    if qmax == 127:
        fine = torch.full((2, 1), 0.02)
        noise, exact = (f(fine, torch.zeros(2, 1), qmin, qmax) for f in (rows._by_noise, rows._by_element))
        assert torch.allclose(noise, exact, rtol=0.05)


@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_a_few_candidates_are_judged_exactly_on_every_grid(bits: int) -> None:
    x = torch.cat([torch.zeros(5000), normal(5000)])
    spec = Spec(bits)
    grid = grid_of(spec, estimate_range(x, spec, "min-max"))
    sums = Rows.of(x[None]).squared_errors(grid.scale[:, None], grid.zero[:, None], grid.qmin, grid.qmax)
    want = float((grid.values(grid.codes(x[None])) - x).double().square().sum())
    assert float(sums) == pytest.approx(want, rel=1e-3)


def test_sums_of_a_large_offset_do_not_cancel() -> None:
    x = 1000 + normal(8192)[None]
    rows = Rows.of(x)
    scale, zero = torch.tensor([[4.0, 3.98]]), torch.zeros(1, 2)
    level = rows._by_level(scale, zero, 0, 255)
    assert torch.allclose(level, rows._by_element(scale, zero, 0, 255), rtol=1e-4)


@given(st.floats(50.001, 100), st.integers(2, 3000))
@settings(max_examples=50, deadline=None)
def test_a_percentile_is_the_quantile_on_both_sides(percent: float, count: int) -> None:
    x = torch.linspace(-3, 5, count)[torch.randperm(count)]
    found = estimate_range(x, Spec(symmetric=False), "percentile", percent=percent)
    want = torch.quantile(x.double(), torch.tensor([1 - percent / 100, percent / 100], dtype=torch.float64))
    assert float(found.lo) == pytest.approx(min(float(want[0]), 0.0), abs=1e-4)
    assert float(found.hi) == pytest.approx(max(float(want[1]), 0.0), abs=1e-4)


@pytest.mark.parametrize("percent", [60.0, 90.0, 99.9, 100.0])
def test_the_percentile_of_a_short_last_group_counts_its_own_elements_alone(percent: float) -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.arange(1.0, 11)[None], -torch.rand(1, 10), torch.randn(3, 10)])
    found = estimate_range(x, Spec(granularity=4), "percentile", percent=percent)
    alone = [
        estimate_range(group, Spec(), "percentile", percent=percent) for channel in x for group in channel.split(4)
    ]
    assert found.lo.tolist() == [float(each.lo) for each in alone]
    assert found.hi.tolist() == [float(each.hi) for each in alone]


def test_the_hundredth_percentile_of_a_sample_is_min_max_of_all_that_was_seen() -> None:
    rows = Rows.of(torch.randn(1, 1000), ends=(torch.tensor([-9.0]), torch.tensor([8.0])))
    found = apply_estimator(rows, Spec(symmetric=False), "percentile", {"percent": 100.0})
    assert (float(found.lo), float(found.hi)) == (-9.0, 8.0)


def test_the_hundredth_percentile_is_min_max() -> None:
    x = normal(999)
    ends = [estimate_range(x, Spec(), *how) for how in (("percentile",), ("min-max",))]
    assert float(ends[0].hi) < float(ends[1].hi)
    exact = estimate_range(x, Spec(), "percentile", percent=100)
    assert torch.equal(exact.lo, ends[1].lo)
    assert torch.equal(exact.hi, ends[1].hi)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_powers_of_two_are_searched_to_the_best_one(bits: int) -> None:
    x, spec = normal(4096), Spec(bits, power_of_two=True)
    found = quantization_error(x, spec, estimate_range(x, spec, "mse")).mse
    errors = []
    for exponent in range(-12, 4):
        end = torch.tensor([2.0**exponent])
        errors.append(quantization_error(x, spec, Range(end * spec.qmin, end * spec.qmax)).mse)
    assert found == pytest.approx(min(errors), rel=1e-6)
