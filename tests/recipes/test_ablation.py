"""An ablation tells, from networks that differ by one step, what each step of a recipe buys."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
import torch

import qexplore as qx
from qexplore.recipes import ablation

TASK = "mobilenet-digits-unbalanced"
RECIPE: dict[str, Any] = {
    "name": "ladder",
    "weights": {"bits": 8, "granularity": "tensor"},
    "activations": {"bits": 8},
    "steps": ["fold-bn", "replace-relu6", "equalize", "weight-ranges", "correct-bias", "activation-ranges"],
}
STEPS = ("replace-relu6", "equalize", "correct-bias")
COLUMNS = {"group", "name", "step", "accuracy", "low", "high", "images", "loss", "seconds", "change", "gained", "lost"}


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture(scope="module")
def table(events: list[dict[str, Any]]) -> pd.DataFrame:
    return qx.ablate(TASK, RECIPE, on_event=lambda event: events.append(json.loads(json.dumps(event))))


@pytest.fixture
def named(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("name")


def test_the_rows_stand_in_their_order(table: pd.DataFrame) -> None:
    assert list(zip(table["group"], table["name"])) == [
        ("reference", "fp32"),
        ("build-up", "none"),
        *(("build-up", f"+ {step}") for step in STEPS),
        *(("without", f"without {step}") for step in STEPS),
        ("side", "weights only"),
        ("side", "activations only"),
    ]
    assert list(table["step"]) == ["", "", *STEPS, *STEPS, "", ""]
    assert COLUMNS | {"p", "complete"} == set(table)
    assert list(table.loc[table["complete"], "name"]) == ["+ correct-bias"]


def test_the_complete_row_is_what_running_the_recipe_gives(named: pd.DataFrame) -> None:
    result = qx.run(TASK, RECIPE)
    row = named.loc["+ correct-bias"]
    assert row["accuracy"] == result.accuracy.value
    assert row["loss"] == result.steps["loss"].iloc[-1]
    assert (row["change"], row["gained"], row["lost"], row["p"]) == (0, 0, 0, 1)
    assert named.loc["fp32", "accuracy"] == result.fp32_accuracy.value


def test_each_row_is_what_running_its_recipe_alone_gives(named: pd.DataFrame) -> None:
    """Real weights among them: with no bias that was corrected for quantized ones."""
    for name, steps in {
        "none": ["fold-bn", "weight-ranges", "activation-ranges"],
        "+ equalize": ["fold-bn", "replace-relu6", "equalize", "weight-ranges", "activation-ranges"],
        "without equalize": ["fold-bn", "replace-relu6", "weight-ranges", "correct-bias", "activation-ranges"],
        "activations only": ["fold-bn", "replace-relu6", "equalize", "activation-ranges"],
        "weights only": ["fold-bn", "replace-relu6", "equalize", "weight-ranges", "correct-bias"],
    }.items():
        steps_of = qx.run(TASK, {**RECIPE, "steps": steps}).steps.iloc[-1]
        assert named.loc[name, "accuracy"] == steps_of["accuracy"], name
        assert named.loc[name, "loss"] == pytest.approx(steps_of["loss"], rel=1e-6), name


def test_changes_are_paired_with_the_complete_recipe(table: pd.DataFrame) -> None:
    whole = float(table.loc[table["complete"], "accuracy"].iloc[0])
    assert table["change"].tolist() == pytest.approx((table["accuracy"] - whole).tolist(), abs=1e-12)
    assert table["change"].tolist() == pytest.approx(((table["gained"] - table["lost"]) / table["images"]).tolist())
    assert table["p"].between(0, 1).all()


def test_leaving_equalization_out_of_an_unbalanced_network_is_ruin_beyond_chance(named: pd.DataFrame) -> None:
    row = named.loc["without equalize"]
    assert row["change"] < -0.2
    assert row["p"] < 1e-9
    assert named.loc["+ equalize", "accuracy"] > named.loc["+ replace-relu6", "accuracy"] + 0.2


def test_equal_recipes_are_carried_out_once(events: list[dict[str, Any]], table: pd.DataFrame) -> None:
    """Nine rows, seven recipes: that of 'without correct-bias' is that of '+ equalize', and so on."""
    ends = [event for event in events if event["event"] == "progress"]
    assert {event["total"] for event in ends} == {7}
    assert [event["done"] for event in ends] == sorted(event["done"] for event in ends)
    assert ends[-1]["done"] == 7
    assert {event["text"] for event in ends} <= {*table["name"], "ablation"}
    rows = table.set_index("name")
    for same, other in (("without correct-bias", "+ equalize"), ("weights only", "+ correct-bias")):
        assert rows.loc[same, "seconds"] == rows.loc[other, "seconds"]


def test_the_document_is_json(table: pd.DataFrame) -> None:
    recipe = qx.Recipe.load(RECIPE)
    document = json.loads(json.dumps(ablation.to_document(TASK, recipe, 0, table), allow_nan=False))
    assert set(document) == {"task", "recipe", "seed", "fp32", "accuracy", "rows"}
    assert set(document["accuracy"]) == {"value", "low", "high", "images"} == set(document["fp32"])
    assert document["accuracy"]["value"] == table.loc[table["complete"], "accuracy"].iloc[0]
    assert [row["name"] for row in document["rows"]] == list(table["name"])


def test_a_recipe_without_optional_steps_is_complete_with_none() -> None:
    table = qx.ablate("resnet-digits", "w8a8")
    assert list(table["name"]) == ["fp32", "none", "weights only", "activations only"]
    assert list(table["complete"]) == [False, True, False, False]


def test_a_row_that_is_no_recipe_is_left_out_and_says_why() -> None:
    events: list[dict[str, Any]] = []
    table = qx.ablate("resnet-digits", {"steps": ["equalize"]}, on_event=events.append)
    assert list(table["name"]) == ["fp32", "+ equalize", "weights only", "activations only"]
    logs = [event["text"] for event in events if event["event"] == "log"]
    assert len(logs) == 2
    assert "'none'" in logs[0]
    assert "keep at least one" in logs[0]


def test_an_error_of_the_complete_recipe_is_told_before_any_other_row() -> None:
    recipe = {**qx.Recipe.load("w8a8-per-tensor-equalized").to_document(), "sites": {"nowhere.out": {"bits": 4}}}
    events: list[dict[str, Any]] = []
    with pytest.raises(qx.QexploreError, match=r"no site 'nowhere\.out'"):
        qx.ablate("resnet-digits", recipe, on_event=events.append)
    assert {event["done"] for event in events} == {0}


def test_an_ablation_stops_where_its_watcher_says() -> None:
    """Also inside a row: the steps of a row tell of themselves."""
    seen = 0

    def until(event: dict[str, Any]) -> None:
        nonlocal seen
        seen += event["event"] == "progress"
        if seen == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qx.ablate("resnet-digits", "w8a8", on_event=until)


def test_same_recipe_and_seed_give_the_same_table() -> None:
    torch.manual_seed(7)
    first, second = (qx.ablate("mobilenet-digits", "w4a8", seed=2).drop(columns="seconds") for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
