"""What a recipe sets for single sites holds there and nowhere else; what cannot be meant is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml
from torch import nn

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.recipes.sites import own_of
from qexplore.runs.trying import trying
from tests.network.nets import built

LOGITS = "classifier.out"


@pytest.fixture(scope="module")
def task() -> qx.Task:
    return qx.Task("mobilenet-digits")


def with_sites(sites: dict[str, Any]) -> Recipe:
    return Recipe.from_document({**Recipe.load("w8a8").to_document(), "sites": sites})


def test_bits_range_and_method_of_a_site_hold_there_alone(task: qx.Task) -> None:
    plain = qx.run(task, "w8a8").sites.set_index("site")
    first = plain.index[1]
    sites = qx.run(
        task,
        with_sites(
            {
                first: {"bits": 3},
                "input": {"range": [-1, 2]},
                "logits": {"method": "percentile", "percent": 90.0},
            }
        ),
    ).sites.set_index("site")
    assert sites.loc[first, "bits"] == 3
    assert (sites.drop(first)["bits"] == 8).all()
    assert tuple(sites.loc["input", ["lo", "hi"]]) == (-1, 2)
    last = qx.Network.of(task.model, task.example).logits
    assert last is not None
    assert sites.loc[last.name, "hi"] < plain.loc[last.name, "hi"]
    # Activations after a site of 3 bits are others, and so are their ranges; weights stay.
    same = [name for name in plain.index if plain.loc[name, "kind"] == "weight" and name != first]
    assert sites.loc[same, "lo"].tolist() == plain.loc[same, "lo"].tolist()


def test_the_ends_of_a_network_have_names_of_their_own(task: qx.Task) -> None:
    ends = {"input": 8, "first": 7, "last": 6, "logits": 5}
    document = {**Recipe.load("w4a4").to_document(), "sites": {name: {"bits": bits} for name, bits in ends.items()}}
    bits = prepare(task, Recipe.from_document(document)).bits
    wanted = {"input": 8, "stem.conv.weight": 7, "classifier.weight": 6, LOGITS: 5}
    assert {name: bits.pop(name) for name in wanted} == wanted
    assert set(bits.values()) == {4}


def test_what_no_layer_multiplies_is_set_under_one_name_and_a_site_of_its_own_comes_first(task: qx.Task) -> None:
    terms = {f"blocks.{block}.project.conv.out" for block in (0, 2, 4)}  # read by a sum alone
    sites = {"no-macs": {"bits": 7, "method": "min-max"}, "logits": {"bits": 5}}
    bits = prepare(task, with_sites(sites)).bits
    assert {name for name, held in bits.items() if held == 7} == terms
    assert bits[LOGITS] == 5
    one, other, third = sorted(terms)
    network = prepare(task, with_sites({**sites, one: {"bits": 6}, other: {"range": [-1, 2]}}))
    assert [network.bits[name] for name in (one, other, third)] == [6, 7, 7]
    ends = network.fitted(network.site(other), 7).range
    assert (float(ends.lo), float(ends.hi)) == (-1, 2)


def test_a_network_that_multiplies_everything_has_no_site_under_that_name() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    network = qx.Network.of(model.eval(), torch.zeros(1, 1, 8, 8))
    assert own_of(network, {"no-macs": {"bits": 3}}) == {}


def test_sites_survive_the_way_through_a_file_and_through_words() -> None:
    recipe = with_sites({"stem.conv.out": {"range": [0, 1.5], "bits": 4}})
    assert Recipe.from_document(yaml.safe_load(yaml.safe_dump(recipe.to_document()))) == recipe
    words = {"sites.stem.conv.out.range": "[0, 1.5]", "sites.stem.conv.out.bits": "4"}
    assert Recipe.load("w8a8").with_settings(words) == recipe
    assert "sites" not in Recipe.load("w8a8").to_document()


@pytest.mark.parametrize(
    ("sites", "says"),
    [
        ({"input": {"range": [2, 1]}}, "lo below hi"),
        ({"input": {"range": [0, float("inf")]}}, "finite number"),
        ({"input": {"range": [0, 10**400]}}, "finite number of at most 18 digits"),
        ({"input": {"range": 3}}, "lo below hi"),
        ({"input": {"range": [0, 1], "method": "mse"}}, "or a method"),
        ({"input": {}}, "by site"),
        ({"input": 4}, "by site"),
        ([1], "by site"),
        ({"no-macs": {"range": [0, 1]}}, "'no-macs' are many sites"),
        ({"no-macs": {"bits": 99}}, "1 to 16"),
        ({"input": {"bits": 0}}, "1 to 16"),
        ({"input": {"bits": "four"}}, "1 to 16"),
        ({"input": {"method": "mes"}}, "did you mean 'mse'"),
        ({"input": {"method": 7}}, "name of a range estimator"),
        ({"input": {"method": "percentile", "percent": "high"}}, "'percent' of the site 'input' is a number"),
        ({"logits": {"bits": 4}, LOGITS: {"method": "min-max"}}, "'logits' is the site .* under one name"),
        ({"last": {"bits": 4}, "classifier.weight": {"bits": 3}}, "'last' is the site 'classifier.weight'"),
        ({"input": {"method": "mse", "percent": 3}}, "setting of the site 'input' called 'percent'"),
        ({"input": {"percent": 3}}, "setting of the site 'input' called 'percent'"),
        ({"inptu": {"bits": 4}}, "no site 'inptu'; did you mean 'input'"),
        ({"no_macs": {"bits": 4}}, "no site 'no_macs'; did you mean 'no-macs'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(sites: Any, says: str, task: qx.Task) -> None:
    steps: list[str] = []

    def carry_out() -> None:
        prepare(task, with_sites(sites), after_step=lambda name, _: steps.append(name))

    with pytest.raises(QexploreError, match=says) as error:
        carry_out()
    assert "\n" not in str(error.value)
    assert not steps


def test_a_recipe_less_a_step_loses_what_needs_it() -> None:
    recipe = Recipe.load("w4a8-adaround")
    assert recipe.optional == ("adaround",)
    assert [s.name for s in recipe.without(["adaround"]).steps] == ["fold-bn", "weight-ranges", "activation-ranges"]
    assert recipe.without(name for name in ["adaround"]) == recipe.without(["adaround"])
    assert [s.name for s in recipe.without(["Weight_Ranges"]).steps] == ["fold-bn", "activation-ranges"]
    with pytest.raises(QexploreError, match="equalize"):
        recipe.without(["equalize"])
    with pytest.raises(QexploreError, match="keep at least one"):
        recipe.without([step.name for step in recipe.steps])


def shared_weight() -> qx.Task:
    model, x = built("shared-convolution")
    part = (x, torch.zeros(len(x), dtype=torch.int64))
    return qx.Task(model=model, data=qx.Data(calibration=part, evaluation=part), example=x[:1])


BOTH = ("second.weight", "second#2.weight")


@pytest.mark.parametrize("named", BOTH)
def test_what_is_set_for_a_weight_holds_for_all_layers_that_share_it(named: str) -> None:
    task = shared_weight()
    network = prepare(task, with_sites({named: {"bits": 3, "range": [-0.5, 0.5]}, "last": {"bits": 5}}))
    assert [network.bits[name] for name in (*BOTH, "head.weight", "stem.weight")] == [3, 3, 5, 8]
    one, other = (network.quantized_weight(network.site(name), 3) for name in BOTH)
    assert torch.equal(one, other)
    bits = prepare(task, Recipe.load("w8a8").with_bits({named: 3})).bits
    assert {name for name, held in bits.items() if held == 3} == set(BOTH)
    with trying(prepare(task, Recipe.load("w8a8")), {named: {"bits": 3}}) as tried:
        assert [tried.bits[name] for name in BOTH] == [3, 3]


def test_different_bits_of_one_weight_are_refused_in_one_sentence() -> None:
    task, bits = shared_weight(), dict(zip(BOTH, (3, 4), strict=True))
    for recipe in (with_sites({name: {"bits": b} for name, b in bits.items()}), Recipe.load("w8a8").with_bits(bits)):
        with pytest.raises(QexploreError, match=r"'second\.weight' and 'second#2\.weight' are one weight"):
            prepare(task, recipe)


def test_layers_whose_batch_norms_tell_their_weights_apart_have_bits_of_their_own() -> None:
    torch.manual_seed(0)
    shared = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(shared, nn.BatchNorm2d(3), nn.ReLU(), shared, nn.BatchNorm2d(3), nn.Flatten()).eval()
    nn.init.uniform_(model[4].weight)
    x = torch.randn(4, 3, 2, 2)
    part = (x, torch.zeros(4, dtype=torch.int64))
    task = qx.Task(model=model, data=qx.Data(calibration=part, evaluation=part), example=x[:1])
    assert prepare(task, with_sites({"0.weight": {"bits": 3}})).bits["0#2.weight"] == 8
