"""AdaRound, bias correction and absorption: what each must never do, and what it must bring."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.numerics import Spec
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.rounding import Schedule
from qexplore.ptq.sweep import channel_means
from qexplore.report import Report


def task_of(model: nn.Module, x: Tensor) -> qx.Task:
    part = (x, torch.zeros(len(x), dtype=torch.int64))
    return qx.Task(model=model, data=qx.Data(calibration=part, evaluation=part), example=x[:1])


def convolutions(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ).eval()  # fmt: skip


def quantized(task: qx.Task, bits: int, granularity: str = "channel") -> tuple[Network, Calibration]:
    network = Network.of(task.model, task.example, Spec(bits=bits, granularity=granularity), Spec(symmetric=False))
    calibration = Calibration(task.data)
    for step in ("fold-bn", "weight-ranges"):
        network = STEPS.get(step)(network, calibration, Report())
    return network, calibration


@pytest.fixture
def images() -> Tensor:
    return torch.rand(96, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_empirical_bias_correction_leaves_no_mean_error_on_the_calibration_images(images: Tensor) -> None:
    network, calibration = quantized(task_of(convolutions(), images), 2)
    real = network.real_plan()
    network = STEPS.get("correct-bias")(network, calibration, Report())
    for name, layer in network.layers.items():
        means = []
        for plan in (real, network.plan()):
            seen: list[Tensor] = []
            plan.watch(images, lambda op, y, name=name, seen=seen: seen.append(y.clone()) if op == name else None)
            means.append(channel_means(seen, layer))
        torch.testing.assert_close(means[0], means[1], atol=1e-5, rtol=1e-4)


def test_analytic_bias_correction_brings_the_mean_error_down_without_images(images: Tensor) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    noise = torch.randn(2000, 3, 4, 4)
    model.train()(noise)  # batch-norm statistics of a normal input, as the method supposes
    for _ in range(60):
        model(noise)
    task = task_of(model.eval(), noise)
    network, calibration = quantized(task, 2)
    real = network.real_plan()(noise).mean(dim=0)
    before = (network.plan()(noise).mean(dim=0) - real).abs().sum()
    network = STEPS.get("correct-bias")(network, calibration, Report(), method="analytic")  # type: ignore[call-arg]
    after = (network.plan()(noise).mean(dim=0) - real).abs().sum()
    # The second layer's error goes; that of the first, whose input no batch norm describes, stays.
    assert after < before


def test_absorption_keeps_the_function_where_outputs_stay_above_the_constant() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(4, 6), nn.Linear(6, 3)
    with torch.no_grad():
        first.bias.add_(10.0)
    x = torch.rand(64, 4)
    task = task_of(nn.Sequential(first, nn.ReLU(), second), x)
    network, calibration = Network.of(task.model, task.example), Calibration(task.data)
    before = network(x)
    network = STEPS.get("absorb-high-bias")(network, calibration, Report(), method="empirical")  # type: ignore[call-arg]
    assert float(network.layers["0"].bias.max()) < 10.0
    torch.testing.assert_close(network(x), before, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_adaround_moves_each_weight_to_one_of_its_two_neighbours_and_lowers_the_output_error(
    granularity: str, images: Tensor
) -> None:
    network, calibration = quantized(task_of(convolutions(), images), 3, granularity)
    nearest = {s.name: network.quantized_weight(s, 3) for s in network.sites if s.kind == "weight"}
    target = network.real_plan()(images)
    before = (network.plan()(images) - target).square().sum()
    network = STEPS.get("adaround")(network, calibration, Report(), iterations=200)  # type: ignore[call-arg]
    assert (network.plan()(images) - target).square().sum() < before
    for site in network.sites:
        if site.kind == "weight":
            grid, spec = network.fitted(site, 3).grid, network.fitted(site, 3).spec
            learned = spec.slices(network.quantized_weight(site, 3)) / grid.scale[:, None]
            exact = spec.slices(network.layers[site.layer].weight) / grid.scale[:, None]
            codes = learned.round()
            torch.testing.assert_close(codes, learned, atol=1e-3, rtol=0)
            inside = (exact > grid.qmin) & (exact < grid.qmax)
            assert bool(((codes - exact).abs() < 1 + 1e-3)[inside].all())
            assert codes.min() >= grid.qmin
            assert codes.max() <= grid.qmax
    weights = [s for s in network.sites if s.kind == "weight"]
    assert any(not torch.equal(network.quantized_weight(s, 3), nearest[s.name]) for s in weights)


def test_adaround_is_deterministic_under_a_seed(images: Tensor) -> None:
    found = []
    for _ in range(2):
        network, calibration = quantized(task_of(convolutions(), images), 3)
        STEPS.get("adaround")(network, calibration, Report(), iterations=20)  # type: ignore[call-arg]
        found.append([network.quantized_weight(s, 3) for s in network.sites if s.kind == "weight"])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def strided(module: nn.Module, order: tuple[int, ...]) -> nn.Module:
    """The module with the dimensions of its weight in this order in memory."""
    back = sorted(range(len(order)), key=order.__getitem__)
    module.weight.data = module.weight.data.permute(order).contiguous().permute(back)
    return module


@pytest.mark.parametrize(
    ("layer", "shape", "order"),
    [
        (lambda: nn.Conv3d(4, 8, 3), (4, 4, 4, 4), (0, 2, 3, 4, 1)),  # channels_last_3d
        (lambda: nn.Conv1d(4, 8, 3), (4, 10), (0, 2, 1)),
        (lambda: nn.Linear(4, 8), (8, 4), (1, 0)),
    ],
)
def test_adaround_learns_the_same_whatever_the_order_of_a_weight_in_memory(
    layer: Callable[[], nn.Module], shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    found = []
    for place in (sorted(order), order):
        torch.manual_seed(0)
        first = strided(layer(), tuple(place))
        model = nn.Sequential(first, nn.Flatten(), nn.Linear(64, 3)).eval()
        network, calibration = quantized(task_of(model, torch.randn(32, *shape)), 3)
        STEPS.get("adaround")(network, calibration, Report(), iterations=100)  # type: ignore[call-arg]
        found.append(network.quantized_weight(network.site("0.weight"), 3))
    assert float((found[1] == found[0]).float().mean()) > 0.99


def test_adaround_before_weight_ranges_says_what_is_missing(images: Tensor) -> None:
    task = task_of(convolutions(), images)
    with pytest.raises(qx.QexploreError, match="weight-ranges"):
        STEPS.get("adaround")(Network.of(task.model, task.example), Calibration(task.data), Report())


def test_the_regularizer_starts_after_the_warm_start_and_falls_from_high_to_low() -> None:
    schedule = Schedule(100, 0.01, 0.01, (20.0, 2.0), 0.2)
    assert schedule.beta(19) is None
    assert schedule.beta(20) == pytest.approx(20.0)
    assert math.isclose(schedule.beta(99) or 0.0, 2.0, abs_tol=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        *({"iterations": 0}, {"iterations": 10**12}, {"batch": 0}, {"rate": 0}, {"rate": -1.0}),
        *({"regularizer": -1}, {"beta_low": 0}, {"warm": -0.1}, {"warm": 1.5}),
    ],
)
def test_settings_with_which_nothing_can_be_learned_are_refused(settings: dict[str, Any], images: Tensor) -> None:
    network, calibration = quantized(task_of(convolutions(), images), 4)
    with pytest.raises(qx.QexploreError, match="AdaRound"):
        STEPS.get("adaround")(network, calibration, Report(), **settings)


def test_unknown_methods_are_named() -> None:
    task = task_of(nn.Sequential(nn.Linear(4, 3)), torch.rand(8, 4))
    for step in ("correct-bias", "absorb-high-bias"):
        with pytest.raises(qx.QexploreError, match="empiric"):
            STEPS.get(step)(Network.of(task.model, task.example), Calibration(task.data), Report(), method="empirica")  # type: ignore[call-arg]


def test_three_bit_weights_are_rescued_on_digits() -> None:
    task = qx.Task("mobilenet-digits")
    nearest = qx.run(task, qx.Recipe.load("w4a8").with_settings({"weights.bits": 3})).accuracy
    recipe = qx.Recipe.load("w4a8-adaround").with_settings({"weights.bits": 3, "adaround.iterations": 100})
    learned = qx.run(task, recipe).accuracy
    assert learned.low > nearest.high


class Stop(Exception):
    pass


def test_adaround_can_be_cancelled_inside_a_layer(images: Tensor) -> None:
    said: list[dict[str, Any]] = []

    def stop(event: dict[str, Any]) -> None:
        said.append(event)
        if event["done"] > 0:
            raise Stop

    with pytest.raises(Stop):
        STEPS.get("adaround")(*quantized(task_of(convolutions(), images), 3), Report(stop), iterations=300_000)  # type: ignore[call-arg]
    assert 0 < said[-1]["done"] < 300_000  # of the first of three layers
    assert said[-1]["total"] == 900_000


def test_adaround_tells_each_layer_and_the_end(images: Tensor) -> None:
    said: list[dict[str, Any]] = []
    STEPS.get("adaround")(*quantized(task_of(convolutions(), images), 3), Report(said.append), iterations=5)  # type: ignore[call-arg]
    starts = {event["done"]: event["text"] for event in said if event["done"] % 5 == 0}
    assert starts == {0: "AdaRound: 0", 5: "AdaRound: 3", 10: "AdaRound: 8", 15: "AdaRound"}
    assert {event["total"] for event in said} == {15}


@pytest.mark.parametrize("heads", [1, 0])
def test_a_weight_that_layers_share_stays_one_tensor_and_that_is_told(heads: int, images: Tensor) -> None:
    torch.manual_seed(0)
    shared, head = nn.Conv2d(3, 3, 3, padding=1), [nn.Linear(108, 5)] * heads
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Flatten(), *head).eval()
    network, calibration = quantized(task_of(model, images), 3)
    said: list[dict[str, Any]] = []
    STEPS.get("adaround")(network, calibration, Report(said.append), iterations=50)  # type: ignore[call-arg]
    first, second, *rest = (site for site in network.sites if site.kind == "weight")
    assert first.tied == second.tied
    assert torch.equal(network.quantized_weight(first, 3), network.quantized_weight(second, 3))
    assert [site.name for site in rest if (site.name, 3) in network._learned] == ["5.weight"] * heads
    (told,) = [event["text"] for event in said if event["event"] == "log"]
    assert "'0', '0#2' share weights" in told


def test_a_batch_norm_that_is_not_folded_keeps_the_activation_out_of_the_objective(images: Tensor) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)).eval()
    with torch.no_grad():
        model[0].bias.sub_(10.0)  # all of it would be 0 after a ReLU
        model[1].running_mean.sub_(10.0)
    task = task_of(model, images)
    network, calibration = Network.of(task.model, task.example, Spec(bits=2)), Calibration(task.data)
    network = STEPS.get("weight-ranges")(network, calibration, Report())
    layer, site = network.layers["0"], network.site("0.weight")
    errors = []
    for step in (None, "adaround"):
        if step is not None:
            network = STEPS.get(step)(network, calibration, Report(), iterations=100)  # type: ignore[call-arg]
        change = network.quantized_weight(site, 2) - layer.weight
        errors.append(float(layer.forward(images, change, None).square().sum()))
    assert errors[1] < 0.9 * errors[0]
