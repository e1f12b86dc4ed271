"""What is said of a budget before a run is queued is what the run itself would say."""

from __future__ import annotations

from typing import Any

import pytest

import qexplore as qx
from qexplore.allocate import InfeasibleBudget
from qexplore.recipes import Recipe
from qexplore.runs import profiles
from qexplore.runs.feasible import refusal

TASK = "resnet-digits"


def recipe(step: str, settings: dict[str, Any], sites: dict[str, Any], *, pruned: bool = False) -> Recipe:
    steps = ["fold-bn", "weight-ranges", "activation-ranges", {step: settings}]
    pruning = [{"prune": {"epochs": 1}}] if pruned else []
    return Recipe.from_document({"name": "r", "steps": [*pruning, *steps], "sites": sites})


@pytest.mark.parametrize(
    ("step", "settings", "sites"),
    [
        ("qbitopt", {"kb": 0.5}, {}),
        ("qbitopt", {"gbops": 1e-6, "weight_bits": 4}, {}),
        ("qbitopt", {"activation_bits": 2.1}, {"stem.conv.out": {"bits": 8}}),
        ("allocate-bits", {"weight_bits": 3.5, "least": 4}, {}),
        ("allocate-bits", {"weight_bits": 2.01}, {"first": {"bits": 8}, "last": {"bits": 8}}),
    ],
)
def test_the_sentence_is_that_of_the_run(step: str, settings: dict[str, Any], sites: dict[str, Any]) -> None:
    asked = recipe(step, settings, sites)
    with pytest.raises(InfeasibleBudget) as caught:
        qx.run(qx.Task(TASK), asked, seed=0)
    assert refusal(profiles.load(TASK), asked) == str(caught.value)
    better = recipe(step, {**settings, caught.value.limit: caught.value.least}, sites)
    assert refusal(profiles.load(TASK), better) == ""


def test_what_a_profile_cannot_tell_is_left_to_the_run() -> None:
    profile = profiles.load(TASK)
    assert refusal(profile, recipe("qbitopt", {"kb": 0.5}, {}, pruned=True)) == ""
    assert refusal(profile, recipe("qbitopt", {"weight_bits": 4}, {"logits": {"bits": 8}})) == ""


@pytest.mark.parametrize("name", ["qat-w4a4", "qbitopt-3", "prune30-w8a8"])
def test_presets_are_refused_nowhere(name: str) -> None:
    assert refusal(profiles.load(TASK), Recipe.load(name)) == ""
