"""Bits that are allocated once, before training: every metric within the budget, random bits by the seed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

import qexplore as qx
from qexplore.allocate import InfeasibleBudget
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network, cross_entropy
from qexplore.recipes import BadRecipe, Recipe
from qexplore.recipes.carry_out import check, prepare
from qexplore.report import Report

RANGED = ["fold-bn", "weight-ranges", "activation-ranges"]


def recipe(*steps: Any, **settings: Any) -> Recipe:
    return Recipe.from_document({"name": "r", "steps": [*RANGED, {"allocate-bits": settings}, *steps]})


def average(network: Network, kind: str) -> Fraction:
    mine = [site for site in network.sites if site.kind == kind]
    return Fraction(sum(site.numel * network.bits[site.name] for site in mine), sum(site.numel for site in mine))


def allocated(seed: int = 0, **settings: Any) -> tuple[Network, dict[str, Any]]:
    events: list[dict[str, Any]] = []
    network = prepare(qx.Task("resnet-digits"), recipe(**settings), seed, Report(events.append))
    (told,) = [event for event in events if event["event"] == "allocation"]
    return network, told


@pytest.mark.parametrize(
    ("metric", "limit"), [("fit", 2.5), ("fit", 4), ("hessian-trace", 3), ("sqnr", 2.5), ("random", 2.5), ("random", 4)]
)
def test_every_metric_meets_the_budget(metric: str, limit: float) -> None:
    network, told = allocated(metric=metric, weight_bits=limit, activation_bits=3)
    assert Fraction(2) < average(network, "weight") <= Fraction(limit)
    assert Fraction(2) < average(network, "activation") <= 3
    assert told["bits"] == network.bits
    assert told["budget"] == {"weight_bits": limit, "activation_bits": 3.0}
    assert told["cost"]["weight_bits"] == pytest.approx(float(average(network, "weight")))
    assert (told["at"], told["metric"], told["frozen"]) == (0, metric, True)


def test_random_bits_hang_on_the_seed_alone() -> None:
    one, same, other = (allocated(seed, metric="random", weight_bits=3)[0].bits for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_bits_by_fit_lose_less_than_bits_at_random() -> None:
    task = qx.Task("resnet-digits")

    def loss(metric: str, seed: int) -> float:
        network = prepare(task, recipe(metric=metric, weight_bits=2.5, activation_bits=3), seed)
        return cross_entropy(network, task.data.batches("evaluation"))

    assert loss("fit", 0) < min(loss("random", seed) for seed in range(3))


def test_a_training_keeps_the_bits_that_were_allocated() -> None:
    settings = {"metric": "random", "weight_bits": 3, "activation_bits": 4}
    before = prepare(qx.Task("resnet-digits"), recipe(**settings), 5)
    after = prepare(qx.Task("resnet-digits"), recipe({"qat": {"epochs": 1, "batch": 256}}, **settings), 5)
    assert after.bits == before.bits


KINDS = {"weight": "weight-ranges", "activation": "activation-ranges"}


@pytest.mark.parametrize("metric", ["random", "fisher", "fit", "divergence", "loss", "sqnr", "hessian-trace"])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_go_to_sites_that_are_quantized_and_no_other_is_asked_for_a_range(metric: str, kind: str) -> None:
    steps = ["fold-bn", KINDS[kind], {"allocate-bits": {f"{kind}_bits": 3.0, "metric": metric}}]
    x, y = qx.Task("resnet-digits").data.tensors("calibration")
    few = (x[:16], y[:16])
    model, example = qx.Task("resnet-digits").model, qx.Task("resnet-digits").example
    task = qx.Task(model=model, data=qx.Data(calibration=few, evaluation=few), example=example)
    network = prepare(task, Recipe.from_document({"name": "r", "steps": steps}))
    assert set(network.bits) == {site.name for site in network.sites if site.kind == kind}
    assert average(network, kind) <= 3


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({}, QexploreError, "no budget"),
        ({"weight_bits": 1.5}, InfeasibleBudget, "least that is possible"),
        ({"weight_bits": 3, "metric": "fitt"}, UnknownName, "fit"),
        ({"weight_bits": 3, "least": 5, "most": 4}, QexploreError, "least ≤ most"),
    ],
)
def test_what_cannot_be_allocated_is_told(settings: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        allocated(**settings)


def test_nothing_is_allocated_where_nothing_is_quantized() -> None:
    document = {"name": "r", "steps": ["fold-bn", {"allocate-bits": {"weight_bits": 3}}]}
    with pytest.raises(QexploreError, match="put the steps 'weight-ranges'"):
        prepare(qx.Task("resnet-digits"), Recipe.from_document(document))


@pytest.mark.parametrize("later", ["weight-ranges", "activation-ranges", "fold-bn", "equalize"])
def test_ranges_and_scales_come_before_the_allocation(later: str) -> None:
    steps = ["replace-relu6", {"allocate-bits": {"weight_bits": 3}}, later]
    with pytest.raises(BadRecipe, match="before 'allocate-bits'"):
        check(Recipe.from_document({"name": "r", "steps": steps}))


@pytest.mark.parametrize("training", ["qat", "qbitopt"])
def test_bits_are_allocated_before_the_training(training: str) -> None:
    with pytest.raises(BadRecipe, match=f"before '{training}'"):
        check(Recipe.from_document({"name": "r", "steps": [*RANGED, training, "allocate-bits"]}))
