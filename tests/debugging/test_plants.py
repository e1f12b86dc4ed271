"""Faults planted on purpose are named: what is wrong, and where. What is sound is left alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

import qexplore as qx
from qexplore.recipes import Recipe
from tests.debugging import plants
from tests.debugging.plants import MOBILENET, RESNET, TWIN, Plant

PLANTS: dict[str, Callable[[], Plant]] = {
    "a weight at two bits": lambda: plants.few_bits(MOBILENET, "blocks.1.project.conv.weight"),
    "an activation at two bits": lambda: plants.few_bits(RESNET, "blocks.0.second.conv.out"),
    "the range of another activation, too narrow": lambda: plants.swapped_range(
        MOBILENET, "blocks.0.project.conv.out", "blocks.0.depthwise.conv.out"
    ),
    "the range of another activation, too wide": lambda: plants.swapped_range(
        RESNET, "blocks.2.downsample.conv.out", "stem.conv.out"
    ),
    "an activation's range fifty times too wide": lambda: plants.scaled_range(
        MOBILENET, "blocks.4.depthwise.conv.out", 50
    ),
    "a weight's range fifty times too wide": lambda: plants.scaled_range(
        RESNET, "stem.conv.weight", 50, "w8a8-per-tensor"
    ),
    "a weight clipped": lambda: plants.scaled_range(RESNET, "blocks.1.first.conv.weight", 0.2, "w8a8-per-tensor"),
    "logits clipped": lambda: plants.scaled_range(MOBILENET, "classifier.out", 0.2),
    "an outlier channel": lambda: plants.outlier_channel(1, 3, 128),
    "unbalanced channels": lambda: plants.unbalanced(2, 5),
    "a biased weight error": lambda: plants.biased_error(RESNET, "blocks.1.first.conv", "blocks.1.first.bn"),
    "a biased error in a projection": lambda: plants.biased_error(
        MOBILENET, "blocks.1.project.conv", "blocks.1.project.bn"
    ),
    "a ReLU6 that mattered": lambda: plants.tight_relu6(0.35),
    "batch norms that lie to the absorption": lambda: plants.lying_moments(1, 5.0),
    "dark calibration images": lambda: plants.unlike_images(MOBILENET, 0.3),
}


@cache
def diagnosed(name: str) -> tuple[Plant, qx.Diagnosis]:
    plant = PLANTS[name]()
    return plant, qx.debug(plant.task, plant.recipe, measure_fixes=False)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_named_with_its_place(name: str) -> None:
    plant, found = diagnosed(name)
    assert plant.named_in(found), [(one.cause, one.site, one.step) for one in found.findings]


@pytest.mark.parametrize("name", [name for name in PLANTS if "outlier" not in name and "unbalanced" not in name])
def test_one_fault_is_one_finding(name: str) -> None:
    """Nothing else is accused: what lies behind a broken weight has no fault of its own. (A channel that is an outlier
    in a weight is one in the activation behind it too.)
    """
    found = diagnosed(name)[1].findings
    assert len(found) == 1, [(one.cause, one.site, one.step) for one in found]


@pytest.mark.parametrize("task", [MOBILENET, RESNET])
@pytest.mark.parametrize("recipe", ["w8a8", "w8a8-per-tensor", "corrected-w8a8-per-tensor", "data-free-w8a8"])
def test_nothing_is_found_on_a_healthy_network(task: str, recipe: str) -> None:
    for seed in (0, 1):
        found = qx.debug(task, recipe, seed)
        assert found.healthy, [(one.cause, one.site, one.step) for one in found.findings]
        assert not found.unexplained
        assert not found.fixes


def test_the_standard_pipeline_is_healthy() -> None:
    recipe = Recipe.load("standard-w8a8-per-tensor").with_settings({"adaround.iterations": 50})
    assert qx.debug(TWIN, recipe).healthy


def test_a_bright_calibration_image_is_seen_where_it_sets_ranges() -> None:
    plant = plants.outlier_values(RESNET, 40)
    found = qx.debug(plant.task, plant.recipe, measure_fixes=False)
    assert {one.cause for one in found.findings} == {"outlier-values"}


def test_a_range_that_a_wider_one_beats_is_too_narrow_even_where_rounding_costs_more() -> None:
    site = "blocks.2.second.conv.out"
    found = qx.debug(RESNET, Recipe.load("w8a8").with_settings({"activations.bits": 2}), measure_fixes=False)
    (finding,) = (one for one in found.findings if one.site == site)
    assert finding.evidence["clipping"] < finding.evidence["rounding"]
    assert finding.cause == "clipped-range"


def test_loss_without_a_culprit_is_called_so() -> None:
    recipe = Recipe.load("w4a4-per-tensor").with_settings({"weights.bits": 3})
    (found,) = qx.debug(MOBILENET, recipe, measure_fixes=False).findings
    assert (found.cause, found.site) == ("bits-everywhere", "")
    assert {"8 bits for all weights", "one grid a channel for the weights"} <= {fix.label for fix in found.fixes}
