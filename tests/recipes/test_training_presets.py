"""The recipes that train are valid and run on every task of the zoo whose images come along."""

from __future__ import annotations

import pandas as pd
import pytest

import qexplore as qx
from qexplore.recipes import Recipe, presets
from qexplore.recipes.carry_out import check
from qexplore.recipes.schema import TRAINS
from qexplore.report import Event
from qexplore.zoo import names

TASKS = [name for name in names() if "digits" in name]


def short(name: str) -> Recipe:
    """The preset with one epoch of each step that trains, and few re-allocations."""
    recipe = Recipe.load(name)
    few = {"qbitopt.every": 5} if any(step.name == "qbitopt" for step in recipe.steps) else {}
    return recipe.with_settings({f"{step.name}.epochs": 1 for step in recipe.steps if step.name in TRAINS} | few)


@pytest.mark.parametrize("name", presets("training"))
def test_a_preset_of_training_is_valid_and_trains(name: str) -> None:
    recipe = Recipe.load(name)
    check(recipe)
    assert recipe.name == name
    assert recipe.trains
    assert Recipe.from_document(recipe.to_document()) == recipe


QUANTIZED = [name for name in presets("training") if not name.startswith("prune")]
PAIRS = [
    (name, task)
    for name in QUANTIZED
    for task in TASKS
    if "unbalanced" not in task or "equalize" in Recipe.load(name).optional  # made so that it needs equalization
]


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_it_runs_and_every_quantized_site_is_told(name: str, task: str) -> None:
    events: list[Event] = []
    result = qx.run(task, short(name), on_event=events.append)
    assert result.accuracy.value > 0.5
    assert list(result.steps["name"]) == ["fp32", *(step.name for step in result.recipe.steps)]
    started = [event for event in events if event["event"] == "training-started"]
    assert [event["step"] for event in started] == [s.name for s in result.recipe.steps if s.name in TRAINS]
    assert [event["number"] for event in started] == [i for i, s in enumerate(result.recipe.steps) if s.name in TRAINS]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1] * len(started)


def test_the_same_seed_gives_the_same_rows() -> None:
    one, again, other = (qx.run("resnet-digits", short("qbitopt-3"), seed=seed) for seed in (0, 0, 1))
    rows = [result.steps.drop(columns="seconds") for result in (one, again, other)]
    pd.testing.assert_frame_equal(rows[0], rows[1])
    assert not rows[0].equals(rows[2])


def test_two_trainings_in_a_row_go_from_many_bits_to_few() -> None:
    document = Recipe.load("qat-w4a4").to_document()
    document["steps"][-1:] = [
        {"qat": {"epochs": 1, "weight_bits": 8, "activation_bits": 8}},
        {"qat": {"epochs": 1, "weight_bits": 4, "activation_bits": 6}},
    ]
    result = qx.run("resnet-digits", document)
    bits = result.sites.groupby("kind")["bits"].unique()
    assert (list(bits["weight"]), list(bits["activation"])) == ([4], [6])
    assert result.accuracy.value > 0.9
