"""Ranges by each way of finding them: with images, by the logits' own measure, and without an image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network, Own, evaluate
from qexplore.network.table import site_table
from qexplore.numerics import Range, quantize
from qexplore.ptq import STEPS, Calibration
from qexplore.recipes import BadRecipe, Recipe
from qexplore.recipes.carry_out import check, prepare
from qexplore.report import Report

FREE = ("fold-bn", "replace-relu6", "equalize", "absorb-high-bias", "weight-ranges")


class Untouched(qx.Data):
    """Images that nobody may ask for."""

    def batches(self, *_: Any, **__: Any) -> Iterator[tuple[Tensor, Tensor]]:
        raise AssertionError("an image was read")

    def count(self, part: str) -> int:
        raise AssertionError("images were counted")


def recipe(
    activation_ranges: dict[str, Any], steps: tuple[str, ...] = ("fold-bn", "weight-ranges"), **more: Any
) -> Recipe:
    return Recipe.from_document({"steps": [*steps, {"activation-ranges": activation_ranges}], **more})


def without_images(name: str, **settings: Any) -> qx.Task:
    task = qx.Task(name)
    return qx.Task(model=task.model, data=Untouched(**settings), example=task.example)


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits", "mobilenet-digits-unbalanced"])
def test_a_recipe_without_data_reads_no_image_and_ranges_every_site(name: str) -> None:
    data_free = Recipe.from_document(
        {
            "steps": [*FREE, {"correct-bias": {"method": "analytic"}}, {"activation-ranges": {"method": "batch-norm"}}],
            "weights": {"granularity": "tensor"},
        }
    )
    network = prepare(without_images(name, interval=(0, 1)), data_free)
    assert len(network.bits) == len(network.sites)
    task = qx.Task(name)
    assert network(task.example).shape == (1, 10)
    fp32, found = (evaluate(each, task.data.batches("evaluation")).value for each in (task.model, network))
    assert found >= fp32 - 0.01


def test_a_range_from_a_batch_norm_is_six_deviations_around_its_means() -> None:
    network = prepare(without_images("resnet-digits", interval=(0, 1)), recipe({"method": "batch-norm", "alpha": 4.0}))
    layers = [name for name, layer in network.layers.items() if layer.mean is not None]
    assert layers
    for name in layers:
        layer, chain = network.layers[name], network.graph.chain(name)
        assert layer.mean is not None
        assert layer.std is not None
        interval = network.fitted(network.site(f"{name}.out"), 8).range
        clamped = chain[-1].kind == "clamp"
        lo = 0.0 if clamped else min(float((layer.mean - 4 * layer.std).min()), 0.0)
        assert float(interval.lo) == pytest.approx(lo, abs=1e-6)
        assert float(interval.hi) == pytest.approx(float((layer.mean + 4 * layer.std).max()), abs=1e-5)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("symmetric", [True, False])
def test_what_asks_for_samples_works_without_them(bits: int, symmetric: bool) -> None:
    network = prepare(
        without_images("mobilenet-digits"),
        recipe({"method": "batch-norm", "input": [0, 1]}, activations={"symmetric": symmetric, "bits": bits}),
    )
    table = site_table(network)
    activations = table["kind"] == "activation"
    assert table.loc[activations, "sqnr_db"].isna().all()
    assert table.loc[~activations, "sqnr_db"].gt(10).all()
    assert (table["lo"] <= 0).all()
    assert (table["hi"] > 0).all()
    for site in network.sites:
        if site.kind == "activation":
            assert network.values(site).numel() == 0
            assert math.isnan(network.noise(site, bits))
            with network.using({site.name: 3}), network.fixing({site.name: Range(torch.zeros(1), torch.ones(1))}):
                assert float(network.fitted(site, 3).range.hi) == 1
    # A ReLU is never negative: a symmetric grid has all its codes above zero.
    assert network.fitted(network.site("stem.conv.out"), bits).spec.signed is False
    assert network.fitted(network.site("blocks.0.add.out"), bits).spec.signed is symmetric


def test_the_range_of_the_input_comes_from_the_step_before_the_data() -> None:
    for task, settings, hi in [
        (without_images("resnet-digits", interval=(0, 1)), {}, 1.0),
        (without_images("resnet-digits", interval=(0, 1)), {"input": [-2, 3]}, 3.0),
        (without_images("resnet-digits"), {"input": [-2, 3]}, 3.0),
    ]:
        network = prepare(task, recipe({"method": "batch-norm", **settings}))
        assert float(network.fitted(network.site("input"), 8).range.hi) == hi


def test_the_digits_lie_between_the_ends_that_they_declare() -> None:
    data = qx.Task("resnet-digits").data
    assert data.interval is not None
    for part in ("train", "calibration", "evaluation"):
        x, _ = data.tensors(part)
        assert (float(x.min()), float(x.max())) == data.interval


def test_a_site_that_nothing_tells_of_is_named_with_the_way_out() -> None:
    with pytest.raises(
        QexploreError, match=r"site 'input' .*input: \[least, greatest\].*under 'sites'.*calibrate with"
    ):
        prepare(without_images("resnet-digits"), recipe({"method": "batch-norm"}))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(), nn.Linear(16, 2)).eval()
    task = qx.Task(model=model, data=Untouched(interval=(0, 1)), example=torch.rand(1, 1, 4, 4))
    with pytest.raises(QexploreError, match=r"'2\.out' has a range that no batch norm tells"):
        prepare(task, recipe({"method": "batch-norm"}))
    sites = {"2.out": {"range": [0, 1]}, "4.out": {"range": [-2, 2]}}
    network = prepare(task, recipe({"method": "batch-norm"}, sites=sites))
    assert float(network.fitted(network.site("2.out"), 8).range.hi) == 1
    assert network(task.example).shape == (1, 2)


def test_another_estimator_does_not_pretend_to_have_seen_images() -> None:
    network = prepare(without_images("resnet-digits", interval=(0, 1)), recipe({"method": "batch-norm"}))
    site = network.site("input")
    for method in ("mse", "min-max", "percentile", "golden-section"):
        network.set_own(site.name, Own(estimator=(method, {})))
        with pytest.raises(QexploreError, match="'input' has no values to go by: calibrate first"):
            network.fitted(site, 8)


def test_sensitivities_of_a_network_ranged_without_images_come_from_the_calibration_images_or_not_at_all() -> None:
    free = recipe({"method": "batch-norm"})
    for metric in ("fisher", "fit", "divergence", "loss"):
        table = qx.sensitivity("resnet-digits", metric, (2, 8), recipe=free)
        assert table["loss"].notna().all()
    with pytest.raises(QexploreError, match=r"'input' was ranged without images.*'fisher' or 'divergence'"):
        qx.sensitivity("resnet-digits", "sqnr", (2, 8), recipe=free)


def test_one_site_with_another_method_needs_images_and_gets_them() -> None:
    document = recipe({"method": "batch-norm"}, sites={"logits": {"method": "min-max"}})
    with pytest.raises(AssertionError, match="counted"):
        prepare(without_images("resnet-digits", interval=(0, 1)), document)
    task = qx.Task("resnet-digits")
    network = prepare(task, document)
    logits = network.logits
    assert logits is not None
    seen = network.values(logits)
    assert float(network.fitted(logits, 8).range.hi) == pytest.approx(float(seen.max()))


# --- logits -----------------------------------------------------------------------------------------------------------


def entropy(network: Network, bits: int) -> float:
    """Mean cross-entropy between what the softmax says before and after the logits are quantized."""
    site = network.logits
    assert site is not None
    spec, interval, *_ = network.fitted(site, bits)
    v = network.values(site).view(-1, site.numel).double()
    said = torch.log_softmax(quantize(v, spec, interval).double(), dim=1)
    return float(-(torch.softmax(v, dim=1) * said).sum(dim=1).mean())


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_cross_entropy_is_best_by_its_own_measure_and_moves_the_logits_alone(bits: int) -> None:
    task = qx.Task("resnet-digits")
    networks = {
        logits: prepare(task, recipe({"logits": logits}, activations={"bits": bits}))
        for logits in ("", "min-max", "cross-entropy")
    }
    entropies = {logits: entropy(network, bits) for logits, network in networks.items()}
    assert entropies["cross-entropy"] <= min(entropies.values()) + 1e-6
    plain, crossed = networks[""], networks["cross-entropy"]
    logits = plain.logits
    for site in plain.sites:
        if site != logits:
            assert torch.equal(plain.fitted(site, bits).range.hi, crossed.fitted(site, bits).range.hi)
    if bits <= 3:
        assert entropies["cross-entropy"] < entropies[""] - 1e-4


def test_logits_are_kept_whole_and_in_the_order_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qexplore.ptq.calibrate.SAMPLE", 100)
    task = qx.Task("resnet-digits")
    network = prepare(task, recipe({"logits": "cross-entropy"}))
    site = network.logits
    assert site is not None
    x, _ = task.data.tensors("calibration")
    with network.using(network.uniform_activations(None)):
        expected = network(x)
    assert torch.allclose(network.values(site).view(-1, 10), expected, atol=1e-4)


def test_only_logits_that_cross_entropy_can_use_are_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qexplore.ptq.calibrate.SAMPLE", 100)
    model = nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    task = qx.Task(model=model, data=qx.Task("resnet-digits").data)
    network = prepare(task, recipe({}))
    assert network.logits is not None
    assert network.logits.shape == (10, 6, 6)
    assert network.values(network.logits).numel() < 1000
    with pytest.raises(QexploreError, match=r"not the logits.*leave it out"):
        prepare(task, recipe({}, sites={"logits": {"method": "cross-entropy"}}))


def test_a_recipe_for_any_network_ranges_an_output_of_maps_by_its_method_and_says_so() -> None:
    model = nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    task = qx.Task(model=model, data=qx.Task("resnet-digits").data)
    told: list[Any] = []
    network = prepare(task, recipe({"logits": "cross-entropy"}), report=Report(told.append))
    assert network.logits is not None
    by_mse = prepare(task, recipe({})).fitted(network.logits, 8).range
    assert torch.equal(network.fitted(network.logits, 8).range.hi, by_mse.hi)
    assert any("'cross-entropy' serves no site" in str(event.get("text")) for event in told)
    least = prepare(task, recipe({"logits": "min-max"})).fitted(network.logits, 8).range
    assert float(least.hi) > float(by_mse.hi)


def test_what_a_recipe_says_of_the_logits_themselves_comes_first() -> None:
    task = qx.Task("resnet-digits")
    network = prepare(task, recipe({"logits": "cross-entropy"}, sites={"logits": {"range": [-3, 5]}}))
    assert network.logits is not None
    assert float(network.fitted(network.logits, 8).range.hi) == 5


def test_cross_entropy_is_for_the_logits_alone() -> None:
    task = qx.Task("resnet-digits")
    with pytest.raises(QexploreError, match=r"site 'input' is not the logits.*logits: cross-entropy"):
        prepare(task, recipe({"method": "cross-entropy"}))
    with pytest.raises(QexploreError, match="is not the logits"):
        STEPS.get("weight-ranges")(
            Network.of(task.model, task.example), Calibration(task.data), Report(), method="cross-entropy"
        )  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"logits": "cross-entropi"}, UnknownName, "did you mean 'cross-entropy'"),
        ({"logits": 3}, BadRecipe, "a word"),
        ({"alpha": 4.0}, UnknownName, "alpha"),
        ({"method": "batch-norm", "alpha": "six"}, BadRecipe, "a number"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(settings: dict[str, Any], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        check(recipe(settings))


@pytest.mark.parametrize("ends", [[1, 0], [0], [0, 1, 2], "wide", [0, "one"], [float("-inf"), 1.0], [True, 2]])
def test_the_ends_of_the_input_are_two_numbers(ends: Any) -> None:
    with pytest.raises(QexploreError, match=r"\[least, greatest\]|finite number"):
        prepare(without_images("resnet-digits"), recipe({"method": "batch-norm", "input": ends}))
    with pytest.raises(QexploreError, match="least, greatest"):
        qx.Data(interval=ends)


@pytest.mark.parametrize("alpha", [0, -1.0, float("inf"), float("nan")])
def test_alpha_lies_above_0(alpha: float) -> None:
    with pytest.raises(QexploreError, match="alpha"):
        prepare(without_images("resnet-digits", interval=(0, 1)), recipe({"method": "batch-norm", "alpha": alpha}))
