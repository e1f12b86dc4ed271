"""What batch norms tell without an image: oracles of the clamped normal, and agreement with what images show."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.numerics import Band, Moments
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.bands import site_bands
from qexplore.ptq.expectation import compare_means
from qexplore.ptq.moments import tell
from qexplore.report import Report

GAUSSIANS = [(0.0, 1.0), (1.0, 1.0), (2.0, 3.0), (-3.0, 0.5), (7.0, 2.0), (-20.0, 1.0), (30.0, 0.1)]


def of(mean: float, std: float) -> Moments:
    return Moments(*(torch.tensor([value], dtype=torch.float64) for value in (mean, std)))


def by_quadrature(mean: float, std: float, lower: float, upper: float) -> tuple[float, float]:
    """Mean and variance of a clamped normal, integrated numerically between the bounds."""
    normal = stats.norm(mean, std)
    low, high = max(lower, mean - 12 * std), min(upper, mean + 12 * std)

    def moment(power: int, centre: float) -> float:
        inside = 0.0
        if low < high:
            inside = integrate.quad(
                lambda x: (x - centre) ** power * normal.pdf(x), low, high, epsabs=1e-13, epsrel=1e-13, limit=500
            )[0]
        ends = [(lower, normal.cdf(lower)), (upper, normal.sf(upper))]
        return inside + sum((end - centre) ** power * share for end, share in ends if math.isfinite(end))

    centre = moment(1, 0.0)
    return centre, moment(2, centre)


@pytest.mark.parametrize(
    ("mean", "std", "upper", "expected"),
    [
        (0.0, 1.0, None, 0.3989422804),
        (1.0, 1.0, None, 1.0833154706),
        (2.0, 3.0, None, 2.4533589415),
        (2.0, 3.0, 6.0, 2.3261735963),
    ],
)
def test_oracles_of_relu_and_relu6(mean: float, std: float, upper: float | None, expected: float) -> None:
    assert float(of(mean, std).clamped(0.0, upper).mean) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("bounds", [(0.0, None), (0.0, 6.0), (None, 1.5), (-1.0, 1.0), (0.0, 0.25)])
@pytest.mark.parametrize(("mean", "std"), GAUSSIANS)
def test_mean_and_variance_of_a_clamped_normal_are_those_of_quadrature(
    mean: float, std: float, bounds: tuple[float | None, float | None]
) -> None:
    lower, upper = bounds
    found = of(mean, std).clamped(lower, upper)
    want = by_quadrature(mean, std, -math.inf if lower is None else lower, math.inf if upper is None else upper)
    assert float(found.mean) == pytest.approx(want[0], abs=1e-6)
    assert float(found.std) ** 2 == pytest.approx(want[1], abs=1e-6)


def test_a_bound_a_channel_acts_on_its_own_channel() -> None:
    both = Moments(torch.tensor([2.0, 2.0]), torch.tensor([3.0, 3.0])).clamped(0.0, torch.tensor([[[6.0]], [[1.0]]]))
    each = [of(2.0, 3.0).clamped(0.0, upper) for upper in (6.0, 1.0)]
    assert both.mean.tolist() == pytest.approx([float(m.mean) for m in each], abs=1e-6)
    assert both.std.tolist() == pytest.approx([float(m.std) for m in each], abs=1e-6)


def test_a_channel_without_spread_stays_where_it_is() -> None:
    found = Moments(torch.tensor([-2.0, 3.0, 9.0]), torch.zeros(3)).clamped(0.0, 6.0)
    assert found.mean.tolist() == pytest.approx([0, 3, 6], abs=1e-5)
    assert float(found.std.max()) < 1e-5


def test_the_band_is_the_white_papers_and_ends_where_the_clamp_does() -> None:
    band = Band.around(Moments(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0])))
    interval = band.interval(6.0)
    assert (float(interval.lo), float(interval.hi)) == (-8.0, 4.0)
    assert float(band.cut(0.0, None).interval(6.0).lo) == 0
    assert float(band.cut(0.0, 3.0).interval(6.0).hi) == 3
    assert float(band.cut(0.0, torch.tensor([[[9.0]], [[1.0]]])).interval(6.0).hi) == 4
    known = Band.between(-0.5, 2.0).interval(6.0)
    assert (float(known.lo), float(known.hi)) == (-0.5, 2.0)


# --- networks ---------------------------------------------------------------------------------------------------------


class Two(nn.Module):
    """Two branches behind batch norms, added and put side by side, a convolution without a batch norm, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(2))
        self.plain, self.head = nn.Conv2d(8, 5, 1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.relu(self.a(x)), self.b(x)
        both = torch.cat([a + b, a], dim=1)
        return self.head(self.plain(both).mean((2, 3)))


def folded(model: nn.Module, x: Tensor) -> Network:
    network = Network.of(model, x[:1])
    return STEPS.get("fold-bn")(network, calibration(x), Report())


def calibration(x: Tensor) -> Calibration:
    return Calibration(qx.Data(calibration=(x, torch.zeros(len(x), dtype=torch.int64))))


@pytest.fixture
def two() -> Network:
    torch.manual_seed(0)
    model = Two()
    for norm in (model.a[1], model.b[1]):
        nn.init.uniform_(norm.weight, -1.0, 1.0)
        nn.init.uniform_(norm.bias, -1.0, 1.0)
    return folded(model.eval(), torch.rand(4, 3, 2, 2))


def test_moments_follow_sums_concatenations_and_layers_without_a_batch_norm(two: Network) -> None:
    told = {name: found.moments for name, found in tell(two).items()}
    a, b = told["a.0"], told["b.0"]
    assert bool((a.std >= 0).all())  # γ may be negative, a deviation not
    relu = a.clamped(0.0, None)
    total = told["add"]
    assert torch.allclose(total.mean, relu.mean + b.mean)
    assert torch.allclose(total.std.square(), relu.std.square() + b.std.square())
    assert torch.equal(told["cat"].mean, torch.cat([total.mean, relu.mean]))
    weight, bias = two.layers["plain"].weight.flatten(1), two.layers["plain"].bias
    assert bias is not None
    assert torch.allclose(told["plain"].mean, weight @ told["cat"].mean + bias, atol=1e-6)
    assert torch.allclose(told["plain"].std.square(), weight.square() @ told["cat"].std.square(), atol=1e-6)
    assert torch.equal(told["mean"].mean, told["plain"].mean)
    assert told["head"].mean.shape == (3,)
    assert "input" not in told


def test_bands_of_every_site_and_the_inputs_where_it_is_declared(two: Network) -> None:
    names = {site.name for site in two.sites if site.kind == "activation"}
    assert set(site_bands(two)) == names - {"input"}
    bands = site_bands(two, (-1.0, 2.0))
    assert set(bands) == names
    given = bands["input"].interval(6.0)
    assert (float(given.lo), float(given.hi)) == (-1.0, 2.0)
    assert float(bands["a.0.out"].interval(6.0).lo) == 0
    a, b = two.layers["a.0"], two.layers["b.0"]
    assert a.mean is not None
    assert a.std is not None
    assert float(bands["a.0.out"].interval(6.0).hi) == pytest.approx(max(float((a.mean + 6 * a.std).max()), 0))
    assert b.mean is not None
    assert b.std is not None
    assert float(bands["b.0.out"].interval(6.0).lo) == pytest.approx(float((b.mean - 6 * b.std).min()))
    side = bands["cat.out"].interval(6.0)
    parts = [bands[name].interval(6.0) for name in ("add.out", "a.0.out")]
    assert float(side.hi) == max(float(part.hi) for part in parts)


def test_a_sum_reaches_no_further_than_its_operands_together() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            return (nn.functional.relu6(self.a(x)) + nn.functional.hardtanh(self.b(x))).flatten(1)

    interval = site_bands(folded(Sum().eval(), torch.rand(2, 3, 2, 2)))["add.out"].interval(60.0)
    assert (float(interval.lo), float(interval.hi)) == (-1.0, 7.0)


def test_batch_norms_that_are_not_folded_tell_the_same() -> None:
    task = qx.Task("mobilenet-digits")
    network = Network.of(task.model, task.example)
    before = site_bands(network, (0.0, 1.0))
    after = site_bands(STEPS.get("fold-bn")(network, Calibration(task.data), Report()), (0.0, 1.0))
    assert before.keys() == after.keys()
    for name, band in before.items():
        assert float(band.interval(6.0).hi) == pytest.approx(float(after[name].interval(6.0).hi), rel=1e-5)


def test_what_follows_a_maximum_or_the_input_alone_is_not_told() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(16, 2),
    ).eval()  # fmt: skip
    network = folded(model, torch.rand(2, 3, 6, 6))
    assert set(tell(network)) == {"2", "4"}
    assert set(site_bands(network, (0.0, 1.0))) == {"input", "2.out"}


def test_a_layer_over_other_dimensions_than_the_channels_is_not_told() -> None:
    class Across(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.across = nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.across(torch.relu(self.norm(self.conv(x)))).flatten(1)

    network = folded(Across().eval(), torch.rand(2, 2, 4, 4))
    assert set(tell(network)) == {"conv", "relu"}


# --- against images ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def normal() -> tuple[Network, Tensor]:
    """A BN+ReLU network whose layers see sums of many normal numbers, and the images behind its statistics."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(64, 16, 1), nn.BatchNorm2d(16, momentum=None), nn.ReLU(),
        nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16, momentum=None), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip
    for norm in (model[1], model[4]):
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.uniform_(norm.bias, -1.0, 1.5)
    x = torch.randn(2000, 64, 3, 3)
    model.train()(x)
    return folded(model.eval(), x), x


def test_analytic_and_empirical_means_agree_where_values_are_normal(normal: tuple[Network, Tensor]) -> None:
    table = compare_means(normal[0], calibration(normal[1])).set_index("layer")
    assert list(dict.fromkeys(table.index)) == ["3", "8"]
    assert (table["channel"].to_numpy() == np.tile(np.arange(16), 2)).all()
    first, last = table.loc["3"], table.loc["8"]
    # 18,000 values a channel: five standard errors of a mean are 4 % of a deviation. The first layer's inputs are
    # normal; the second's are sums of sixteen clamped numbers, and nearly so.
    assert ((first["analytic"] - first["empirical"]).abs() <= 0.04 * first["analytic_std"]).all()
    assert ((last["analytic"] - last["empirical"]).abs() <= 0.15 * last["analytic_std"]).all()
    assert first["empirical_std"].to_numpy() == pytest.approx(first["analytic_std"].to_numpy(), rel=0.05)


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_on_the_zoo_means_agree_to_a_tenth_of_a_deviation_and_bands_hold_nearly_everything(name: str) -> None:
    task = qx.Task(name)
    data = Calibration(task.data)
    network = STEPS.get("fold-bn")(Network.of(task.model, task.example), data, Report())
    table = compare_means(network, data)
    table = table[table["analytic_std"] > 0]
    off = (table["analytic"] - table["empirical"]).abs() / table["analytic_std"]
    assert off.groupby(table["layer"]).mean().max() < 0.1
    network = STEPS.get("activation-ranges")(network, data, Report())
    for site in network.sites:
        if site.kind == "activation":
            interval, seen = network.bands[site.name].interval(6.0), network.values(site)
            assert float(((seen < interval.lo) | (seen > interval.hi)).float().mean()) < 0.005


def test_empirical_means_do_not_hang_on_the_size_of_batches(normal: tuple[Network, Tensor]) -> None:
    network, x = normal
    data = calibration(x[:50]).data
    one, other = (compare_means(network, Calibration(data, batch=size)) for size in (7, 50))
    assert one["empirical"].to_numpy() == pytest.approx(other["empirical"].to_numpy(), rel=1e-6)


def test_a_network_of_which_nothing_is_told_has_an_empty_table() -> None:
    x = torch.rand(4, 3)
    assert compare_means(Network.of(nn.Sequential(nn.Linear(3, 2)), x[:1]), calibration(x)).empty
