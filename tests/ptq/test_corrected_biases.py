"""A corrected bias belongs to the quantized weights that it was found for: all else that a network tells stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.allocate.sensitivity import sensitivity_table
from qexplore.network import Network, Own
from qexplore.numerics import Range, Spec
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.expectation import compare_means
from qexplore.ptq.sweep import channel_means
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.steps import make_ready
from qexplore.qat.trainable import Trainable
from qexplore.report import Report

BITS = 3
METHODS = ("empirical", "analytic")


def model(seed: int = 0) -> nn.Module:
    """Layers before batch norms, of which the middle one has no bias, and one without any norm at the end."""
    torch.manual_seed(seed)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5, bias=False),
    )  # fmt: skip
    for _ in range(20):
        made(torch.rand(64, 3, 6, 6) + 0.5)
    with torch.no_grad():
        made[-1].weight.mul_(8)
    return made.eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(96, 3, 6, 6, generator=torch.Generator().manual_seed(1)) + 0.5


def prepared(
    images: Tensor, *steps: Any, fold: bool = True, granularity: str = "tensor"
) -> tuple[Network, Calibration]:
    """The network at BITS bits, weights alone quantized, after further steps: names, or (name, settings)."""
    net = model()
    part = (images, net(images).argmax(dim=1))
    task = qx.Task(model=net, data=qx.Data(calibration=part, evaluation=part), example=images[:1])
    network = Network.of(task.model, task.example, Spec(bits=BITS, granularity=granularity), Spec(symmetric=False))
    calibration = Calibration(task.data)
    for step in (*(["fold-bn"] if fold else []), "weight-ranges", *steps):
        name, settings = (step, {}) if isinstance(step, str) else step
        network = STEPS.get(name)(network, calibration, Report(), **settings)
    return network, calibration


def corrected(images: Tensor, method: str, *more: Any) -> Network:
    return prepared(images, ("correct-bias", {"method": method}), *more)[0]


@pytest.mark.parametrize("method", METHODS)
def test_the_real_network_stays_as_it_was(images: Tensor, method: str) -> None:
    before, after = prepared(images)[0], corrected(images, method)
    assert not torch.equal(after(images), before(images))
    assert torch.equal(after.real_plan()(images), before.real_plan()(images))
    for network in (before, after):
        network.set_bits(network.uniform(None, None))
    assert torch.equal(after(images), before(images))


@pytest.mark.parametrize("method", METHODS)
def test_at_other_bits_a_weight_has_no_correction_and_at_its_own_it_has_it_again(images: Tensor, method: str) -> None:
    before, after = prepared(images)[0], corrected(images, method)
    logits = after(images)
    with before.using(before.uniform(8, None)), after.using(after.uniform(8, None)):
        assert torch.equal(after(images), before(images))
    assert torch.equal(after(images), logits)


@pytest.mark.parametrize("method", METHODS)
def test_correcting_again_corrects_no_further(images: Tensor, method: str) -> None:
    once, twice = (corrected(images, method, *more) for more in ([], [("correct-bias", {"method": method})]))
    assert torch.equal(once(images), twice(images))


def test_the_last_of_two_methods_counts(images: Tensor) -> None:
    analytic = corrected(images, "analytic")
    again = corrected(images, "empirical", ("correct-bias", {"method": "analytic"}))
    assert torch.equal(analytic(images), again(images))


def test_roundings_are_learned_towards_the_real_network(images: Tensor) -> None:
    learning = ("adaround", {"iterations": 40})
    before, after = prepared(images, learning)[0], corrected(images, "empirical", learning)
    assert torch.equal(after(images), before(images))


GRIDS: dict[str, Callable[[Network], Any]] = {
    "a range": lambda network: network.fixing({"0.weight": Range(torch.tensor([-0.2]), torch.tensor([0.2]))}),
    "an estimator": lambda network: network.owning({"0.weight": Own(estimator=("min-max", {}))}),
}


@pytest.mark.parametrize("change", GRIDS.values(), ids=GRIDS)
def test_on_another_grid_a_weight_has_no_correction(images: Tensor, change: Callable[[Network], Any]) -> None:
    before, after = prepared(images)[0], corrected(images, "empirical")
    others = {name: None for name in after.bits if name != "0.weight"}
    logits = after(images)
    with change(before), change(after), before.using(others), after.using(others):
        assert torch.equal(after(images), before(images))
    assert torch.equal(after(images), logits)


def test_a_weight_that_changes_loses_its_correction_and_no_other_does(images: Tensor) -> None:
    network = corrected(images, "empirical")
    first, last = (network.site(name) for name in ("0.weight", "8.weight"))
    layer = network.layers["0"]
    network.set_layer("0", layer.weight * 2, layer.bias)
    assert network.correction(first, BITS) is None
    assert network.correction(last, BITS) is not None


def test_a_layer_whose_weights_are_real_is_not_corrected(images: Tensor) -> None:
    network, calibration = prepared(images)
    network.set_bits({"3.weight": None})
    STEPS.get("correct-bias")(network, calibration, Report())
    real = network.real_plan()
    means = []
    for plan in (real, network.plan()):
        seen: list[Tensor] = []
        plan.watch(images, lambda op, y, seen=seen: seen.append(y.clone()) if op == "8" else None)
        means.append(channel_means(seen, network.layers["8"]))
    torch.testing.assert_close(*means, atol=1e-5, rtol=1e-4)  # what its own error leaves, the next layer takes off
    assert [site.name for site in network.sites if network.correction(site, BITS) is not None] == [
        "0.weight",
        "8.weight",
    ]


@pytest.mark.parametrize("metric", ["divergence", "loss", "fisher", "fit", "hessian-trace"])
def test_sensitivities_are_those_of_the_real_network(images: Tensor, metric: str) -> None:
    other = 8 if metric in ("divergence", "loss") else BITS  # what is measured takes the correction at its own bits
    tables = []
    for network, calibration in (prepared(images), prepared(images, "correct-bias")):
        weights = network.uniform(None, None)
        with network.using(weights), network.among([s.name for s in network.sites if s.kind == "weight"]):
            tables.append(sensitivity_table(network, calibration, metric, (other,)))
    pd.testing.assert_frame_equal(*tables)


def test_a_site_measured_alone_at_its_bits_comes_with_its_own_correction_and_no_other(images: Tensor) -> None:
    (before, _), (after, calibration) = prepared(images), prepared(images, "correct-bias")
    weights = [site for site in after.sites if site.kind == "weight"]
    with after.among([site.name for site in weights]):
        table = sensitivity_table(after, calibration, "divergence", (BITS,)).set_index("site")["loss"]
    want = before.real_plan()(images).log_softmax(dim=1)
    for site in weights:
        shift, layer = after.correction(site, BITS), before.layers[site.layer]
        assert shift is not None
        own = layer.bias
        before.set_bias(site.layer, shift if own is None else own + shift)
        with before.using({**before.uniform(None, None), site.name: BITS}):
            got = before(images).log_softmax(dim=1)
        layer.bias = own
        apart = float((want.exp() * (want - got)).sum(dim=1).mean())
        assert table[site.name] == pytest.approx(apart, rel=1e-3, abs=1e-7)


def test_what_batch_norms_tell_is_compared_with_the_real_network(images: Tensor) -> None:
    tables = [compare_means(*prepared(images, *steps)) for steps in ([], ["correct-bias"])]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("mode", ["static", "keep"])
def test_training_starts_from_the_corrected_network(images: Tensor, mode: str) -> None:
    network, calibration = prepared(images, "correct-bias", fold=mode == "static", granularity="channel")
    logits = network(images)
    make_ready(network, calibration, Report(), Settings(batch_norm=mode), name="qat")
    trainable = Trainable(network, quantizers_of(network, learn=True), mode)
    trainable.training = False
    torch.testing.assert_close(network(images), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(trainable(images).detach(), logits, atol=1e-4, rtol=1e-3)
    assert "8" in trainable.biases  # which had none before it was corrected
