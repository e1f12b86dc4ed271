"""A recipe with an allocation can be carried out, has these bits, and measures what its prepared network does at them,
or says that it cannot.
"""

from __future__ import annotations

import random

import pytest
import torch

import qexplore as qx
from qexplore.network import Network
from qexplore.qat.limits import Limits
from qexplore.qat.qbitopt import Allocation
from qexplore.qat.settings import defaults_of
from qexplore.recipes import POST_TRAINING, BadRecipe, Recipe, presets
from qexplore.recipes.carry_out import check, prepare
from qexplore.recipes.schema import ALLOCATION

TASK = "mobilenet-digits"
SITES = ({"input": 8}, {"stem.conv.weight": 3}, {"input": 5, "stem.conv.weight": 3, "stem.conv.out": 4})
QUICK = {"adaround": {"iterations": 20}, "qat": {"epochs": 1}, "qbitopt": {"epochs": 1}, "prune": {"epochs": 1}}


@pytest.fixture(scope="module")
def task() -> qx.Task:
    """A network and few of its images."""
    whole = qx.Task(TASK)
    parts = ("train", "calibration", "evaluation")
    images = {part: tuple(tensor[:128] for tensor in whole.data.tensors(part)) for part in parts}
    return qx.Task(model=whole.model, data=qx.Data(**images), example=whole.example)


@pytest.fixture(scope="module")
def x(task: qx.Task) -> torch.Tensor:
    return task.data.tensors("evaluation")[0]


@pytest.fixture(scope="module")
def bits() -> dict[str, int]:
    """An allocation as the page gives it: bits of every site."""
    draw = random.Random(0)
    sites = Network.of(qx.Task(TASK).model, qx.Task(TASK).example).sites
    return {site.name: draw.choice((3, 4, 5, 6, 8)) for site in sites}


def quick(preset: str) -> Recipe:
    """A preset whose steps take little time."""
    recipe = Recipe.load(preset)
    named = {step.name for step in recipe.steps}
    changed = {f"{step}.{key}": value for step, of in QUICK.items() for key, value in of.items() if step in named}
    free = {"activation-ranges.input": [0.0, 1.0]} if preset.startswith("data-free") else {}  # few images tell no ends
    return recipe.with_settings({**changed, **free})


@pytest.mark.parametrize("preset", presets())
def test_every_preset_takes_bits(preset: str) -> None:
    for given in SITES:
        check(Recipe.load(preset).with_bits(given))


@pytest.mark.parametrize("preset", presets())
def test_carried_out_every_site_has_its_bits(preset: str, task: qx.Task, bits: dict[str, int]) -> None:
    assert prepare(task, quick(preset).with_bits(bits)).bits == bits


@pytest.mark.parametrize("preset", presets(POST_TRAINING))
def test_a_recipe_that_fits_no_weights_gives_what_the_prepared_network_does(
    preset: str, task: qx.Task, x: torch.Tensor, bits: dict[str, int]
) -> None:
    recipe, alone = quick(preset), {name: b for name, b in bits.items() if not name.endswith(".weight")}
    network = prepare(task, recipe)
    for given in (alone, *([] if recipe.refits else [bits])):  # bits of activations change nothing that was fitted
        with network.using(given):
            expected = network(x)
        assert torch.equal(prepare(task, recipe.with_bits(given))(x), expected)


def test_what_fits_weights_does_so_at_the_bits_that_are_given(task: qx.Task, bits: dict[str, int]) -> None:
    learned = prepare(task, quick("standard-w4a8").with_bits(bits))
    corrected = prepare(task, quick("data-free-w8a8").with_bits(bits))
    weights = [site for site in learned.sites if site.kind == "weight"]
    nearest = prepare(task, Recipe.load("standard-w4a8").without(["adaround"]).with_bits(bits))
    for site in weights:
        wanted = bits[site.name]
        assert learned.noise(site, wanted) >= nearest.noise(site, wanted)
    assert any(learned.noise(site, bits[site.name]) > nearest.noise(site, bits[site.name]) for site in weights)
    assert sum(corrected.correction(site, bits[site.name]) is not None for site in weights) > len(weights) // 2


def test_a_recipe_that_cannot_measure_the_same_says_so() -> None:
    said = {preset: Recipe.load(preset).refits for preset in presets()}
    fits = {"adaround", "correct-bias", "qat", "qbitopt"}
    for preset, sentence in said.items():
        assert bool(sentence) == any(step.name in fits for step in Recipe.load(preset).steps), preset
    assert said["standard-w4a8"].startswith("The recipe does adaround anew at these bits")


def test_bits_survive_a_training_that_changes_those_of_others(task: qx.Task) -> None:
    given = {"stem.conv.weight": 6, "input": 7}
    found = prepare(task, quick("prune30-w4a8").with_bits(given)).bits
    assert found == {**{name: 4 if name.endswith(".weight") else 8 for name in found}, **given}


def test_what_a_recipe_sets_under_another_name_stays(task: qx.Task) -> None:
    recipe = quick("standard-w4a8").with_settings({"sites.first.bits": 8, "sites.logits.method": "min-max"})
    network = prepare(task, recipe.with_bits({"stem.conv.weight": 5, "classifier.out": 6}))
    assert (network.bits["stem.conv.weight"], network.bits["classifier.out"]) == (5, 6)
    assert network.estimator(network.site("classifier.out"))[0] == "min-max"


def test_bits_that_were_given_out_before_are_replaced_at_the_named_sites_alone(task: qx.Task) -> None:
    steps = ["fold-bn", "weight-ranges", "activation-ranges", {"allocate-bits": {"weight_bits": 4}}]
    recipe = Recipe.from_document({"name": "x", "steps": [*steps, {"adaround": {"iterations": 20}}]})
    before, after = (prepare(task, one).bits for one in (recipe, recipe.with_bits({"stem.conv.weight": 7})))
    assert after == {**before, "stem.conv.weight": 7}


def test_the_settings_by_which_qbitopt_gives_bits_out_are_known() -> None:
    assert set(ALLOCATION) == set(defaults_of(Allocation)) >= set(defaults_of(Limits))


@pytest.mark.parametrize("fit", ["adaround", "correct-bias"])
def test_bits_of_weights_come_before_what_fits_them_and_those_of_activations_need_not(fit: str) -> None:
    ready = ["fold-bn", "weight-ranges"]
    weights, activations = {"set-bits": {"a.weight": 3}}, {"set-bits": {"a.out": 3}}
    check(Recipe.from_document({"steps": [*ready, weights, fit, "activation-ranges", activations]}))
    for steps in (
        [*ready, fit, weights],
        [*ready, "activation-ranges", fit, {"set-bits": {"a.weight": 3, "a.out": 3}}],
    ):
        with pytest.raises(BadRecipe, match=rf"'set-bits' .* before {fit!r}"):
            check(Recipe.from_document({"steps": steps}))


@pytest.mark.parametrize("later", ["weight-ranges", "equalize", {"allocate-bits": {"kb": 9}}])
def test_bits_of_weights_come_behind_their_ranges(later: object) -> None:
    with pytest.raises(BadRecipe, match="before 'set-bits'"):
        check(Recipe.from_document({"steps": ["fold-bn", {"set-bits": {"a.weight": 3}}, later]}))


def test_bits_of_activations_come_behind_their_ranges() -> None:
    with pytest.raises(BadRecipe, match="before 'set-bits'"):
        check(Recipe.from_document({"steps": ["fold-bn", {"set-bits": {"a.out": 3}}, "activation-ranges"]}))
