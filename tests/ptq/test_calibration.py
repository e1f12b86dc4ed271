"""What calibration keeps: an even sample of all images, both extremes, and nothing that depends on chance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.numerics import Spec, quantization_error
from qexplore.ptq import STEPS, Calibration, calibrate
from qexplore.ptq.calibrate import collect_samples
from qexplore.report import Report


def network(x: Tensor, *layers: nn.Module) -> tuple[Network, qx.Data]:
    torch.manual_seed(0)
    model = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(2))
    with torch.no_grad():
        model(x[:1])
    data = qx.Data(calibration=(x, torch.zeros(len(x), dtype=torch.int64)))
    return Network.of(model.eval(), x[:1]), data


def test_of_a_small_site_every_value_is_kept() -> None:
    x = torch.randn(50, 3, 4, 4)
    net, data = network(x, nn.Conv2d(3, 4, 3), nn.ReLU())
    found, _ = collect_samples(net, Calibration(data, batch=16), Report())
    assert set(found) == {site.name for site in net.sites if site.kind == "activation"}
    assert torch.equal(found["input"].sort().values, x.flatten().sort().values)


def test_of_a_large_site_the_sample_is_even_and_both_extremes_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "SAMPLE", 4000)
    images = torch.arange(400.0).view(-1, 1, 1, 1).expand(-1, 1, 10, 10) + torch.rand(400, 1, 10, 10)
    images[17, 0, 3, 3], images[399, 0, 0, 0] = -1e6, 2e6
    net, data = network(images, nn.Conv2d(1, 2, 3))
    samples, ends = collect_samples(net, Calibration(data, batch=96), Report())
    found = samples["input"]
    assert 4000 <= len(found) <= 4400
    assert [float(end) for end in ends["input"]] == [-1e6, 2e6]
    inside = found[(found > -1) & (found < 401)]
    # Uniform on [0, 401): each hundred images give a quarter, within four standard deviations.
    shares = torch.histc(inside, 4, 0, 400) / len(inside)
    assert bool((shares - 0.25).abs().max() < 4 * (0.25 * 0.75 / 4000) ** 0.5)
    assert float(inside.mean()) == pytest.approx(200.5, abs=4 * 115.5 / 4000**0.5)


def test_what_a_sum_writes_over_is_sampled_before() -> None:
    task = qx.Task("resnet-digits")
    net, given = Network.of(task.model, task.example), Calibration(task.data, limit=8)
    samples, _ = collect_samples(net, given, Report())
    whole: dict[str, Tensor] = {}
    with torch.no_grad():
        for x, _ in given.batches():
            net.real_plan().watch(x, whole.__setitem__)
    assert any(op.kind == "add" for op in net.graph.ops)
    for at, site in net.placement.at.items():
        assert torch.equal(samples[site.name].sort().values, whole[at].flatten().sort().values), site.name


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_extremes_do_not_hang_on_the_size_of_batches(batch: int) -> None:
    x = torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    net, data = network(x, nn.Conv2d(3, 8, 3), nn.ReLU6())
    _, ends = collect_samples(net, Calibration(data, batch=batch), Report())
    with torch.no_grad():
        want = nn.functional.relu6(nn.functional.conv2d(x, net.layers["0"].weight, net.layers["0"].bias))
    assert float(ends["0.out"][1]) == pytest.approx(float(want.max()), rel=1e-5)
    assert float(ends["0.out"][0]) == 0


def test_the_seed_decides_the_sample() -> None:
    task = qx.Task("resnet-digits")
    net = Network.of(task.model, task.example)
    one, same, other = (collect_samples(net, Calibration(task.data, seed), Report())[0] for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_limit_keeps_further_images_out() -> None:
    x = torch.cat([torch.zeros(10, 1, 4, 4), torch.full((10, 1, 4, 4), 9.0)])
    net, data = network(x, nn.Conv2d(1, 2, 3))
    assert not collect_samples(net, Calibration(data, limit=10), Report())[0]["input"].any()


def test_samples_are_those_of_real_activations_behind_quantized_weights() -> None:
    task = qx.Task("resnet-digits")
    net = Network.of(task.model, task.example)
    calibration = Calibration(task.data)
    for step in ("fold-bn", "weight-ranges", "activation-ranges"):
        net = STEPS.get(step)(net, calibration, Report())
    again, _ = collect_samples(net, calibration, Report())
    assert all(torch.equal(again[name], net.samples[name]) for name in again)
    assert len(net.bits) == len(net.sites)


def test_progress_reaches_the_end() -> None:
    events: list[dict[str, object]] = []
    x = torch.randn(10, 1, 4, 4)
    net, data = network(x, nn.Conv2d(1, 2, 3))
    collect_samples(net, Calibration(data, batch=4), Report(events.append))
    assert [event["done"] for event in events] == [4, 8, 10]
    assert {event["total"] for event in events} == {10}


def test_activations_that_overflow_are_named() -> None:
    x = torch.randn(4, 1, 4, 4)
    net, data = network(x, nn.Conv2d(1, 2, 3))
    net.layers["0"].weight.fill_(3e38)
    with pytest.raises(QexploreError, match=r"'0\.out' holds NaN or infinity"):
        STEPS.get("activation-ranges")(net, Calibration(data), Report())


def test_ranges_of_activations_need_a_calibration_first() -> None:
    task = qx.Task("resnet-digits")
    net = Network.of(task.model, task.example)
    site = next(site for site in net.sites if site.kind == "activation")
    with pytest.raises(QexploreError, match="calibrate first"):
        net.fitted(site, 8)


@pytest.mark.parametrize(("method", "options"), [("min-max", {}), ("percentile", {"percent": 99.0}), ("mse", {})])
def test_each_estimator_sets_both_kinds_of_ranges(method: str, options: dict[str, float]) -> None:
    task = qx.Task("resnet-digits")
    net = STEPS.get("fold-bn")(Network.of(task.model, task.example), Calibration(task.data), Report())
    for step in ("weight-ranges", "activation-ranges"):
        net = STEPS.get(step)(net, Calibration(task.data), Report(), method=method, **options)  # type: ignore[call-arg]
    assert net.estimators == {"weight": (method, options), "activation": (method, options)}
    for site in net.sites:
        _, interval, _, noise = net.fitted(site, 8)
        rows = net.rows(site)
        assert float(interval.lo.min()) >= float(rows.least.min()) - 1e-6
        assert float(interval.hi.max()) <= max(float(rows.greatest.max()), 0) + 1e-6
        assert noise >= 0


def test_an_extreme_outside_the_sample_weighs_what_one_value_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampled site once counted each extreme as many values: its range was too wide, 1.3 dB lost at 8 bits."""
    x = torch.randn(400, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    net, data = network(x, nn.Conv2d(1, 2, 3))
    quantizer = net.specs["activation"]
    whole = error_of(x, quantizer, STEPS.get("activation-ranges")(net, Calibration(data), Report()))
    monkeypatch.setattr(calibrate, "SAMPLE", 16_000)
    sampled = error_of(x, quantizer, STEPS.get("activation-ranges")(net, Calibration(data), Report()))
    assert sampled < 1.1 * whole


def error_of(x: Tensor, quantizer: Spec, net: Network) -> float:
    site = next(site for site in net.sites if site.name == "input")
    return quantization_error(x, quantizer, net.fitted(site, quantizer.bits).range).mse
