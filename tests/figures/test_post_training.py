"""Waterfall, left-out steps and culprits draw what their tables say, and say what they draw."""

from __future__ import annotations

import pandas as pd
import pytest

from qexplore import figures
from qexplore.figures.left_out import judgement, pairs
from tests.figures.tables import FOUND_SITES, LADDER, RISING, ablation

TABLE = ablation(RISING, LADDER)


def bars(table: pd.DataFrame, **options: object) -> pd.DataFrame:
    return figures.waterfall(table, **options).tables["bars"].set_index("row")  # type: ignore[arg-type]


def test_every_bar_of_the_waterfall_starts_where_the_one_above_ended() -> None:
    drawn = bars(TABLE)
    chain = drawn.loc[["no optional step", *LADDER]]
    assert chain["end"].tolist() == RISING
    assert chain["start"].tolist()[1:] == RISING[:-1]
    assert drawn.loc["complete recipe", "end"] == RISING[-1]


def test_a_gain_and_a_loss_differ_in_colour_and_in_sign() -> None:
    drawn = bars(ablation([0.1, 0.99, 0.9], ["equalize", "absorb-high-bias"]))
    assert drawn.loc["equalize", ["kind", "text"]].tolist() == ["gain", "+89.0 points\n0.25 s"]
    assert drawn.loc["absorb-high-bias", "kind"] == "loss"
    assert drawn.loc["absorb-high-bias", "text"].startswith("−9.0 points")
    colours = figures.waterfall(TABLE).spec["layer"][0]["encoding"]["color"]["scale"]
    named = dict(zip(colours["domain"], colours["range"], strict=True))
    assert named["gain"] != named["loss"]


def test_a_step_that_changes_nothing_is_neither_gain_nor_loss() -> None:
    assert bars(ablation([0.99, 0.99], ["equalize"])).loc["equalize", ["kind", "points"]].tolist() == ["same", 0.0]


@pytest.mark.parametrize("after", [0.975, 0.995])
def test_a_step_that_stays_within_the_interval_of_the_bar_above_is_neither_gain_nor_loss(after: float) -> None:
    drawn = bars(ablation([0.985, after], ["equalize"]))
    assert drawn.loc["equalize", "kind"] == "same"
    assert drawn.loc["equalize", "text"].startswith("+1.0" if after > 0.985 else "−1.0")


def test_the_waterfall_tells_what_each_step_does() -> None:
    said = figures.waterfall(TABLE).alt
    assert "From 10.2 % with no optional step to 99.6 % with all of them" in said
    assert "equalize +89.0 points, absorb-high-bias −0.6 points" in said


def test_links_go_from_the_end_of_one_bar_to_the_next() -> None:
    links = figures.waterfall(TABLE).tables["links"]
    rows = ["no optional step", *LADDER, "complete recipe"]
    assert links["row"].tolist() == rows[:-1]
    assert links["below"].tolist() == rows[1:]


def test_the_axis_begins_at_zero_where_accuracy_collapses_and_says_where_it_does_not() -> None:
    assert "begins at 0 %" in figures.waterfall(TABLE).look
    assert "begins at 95 %" in figures.waterfall(ablation([0.98, 0.99], ["equalize"])).look


def test_a_switched_variant_stands_beside_the_complete_recipe_even_when_it_falls_out_of_the_picture() -> None:
    now = {"name": "as switched", "accuracy": 0.3, "low": 0.26, "high": 0.34, "images": 500, "seconds": 1.0}
    drawn = bars(ablation([0.98, 0.99], ["equalize"]), now=now)
    assert drawn.index[-1] == "as switched"
    assert drawn.loc["as switched", "start"] == 0.0


def test_a_recipe_without_optional_steps_is_one_bar_beside_fp32() -> None:
    assert bars(ablation([0.98], [])).index.tolist() == ["FP32", "complete recipe"]


def test_a_difference_that_chance_explains_is_grey_and_said_so() -> None:
    figure = figures.left_out(ablation([0.1, 0.994, 0.996], ["equalize", "correct-bias"]))
    drawn = figure.tables["bars"].set_index("row")
    assert drawn.loc["correct-bias", "kind"] == "same"
    assert drawn.loc["equalize", "kind"] == "loss"
    assert "without correct-bias −0.2 points, not distinguishable from 0 on 500 images" in figure.alt


@pytest.mark.parametrize(("p", "words"), [(0.2, "not distinguishable"), (0.03, "p = 0.03"), (1e-9, "p < 0.001")])
def test_the_words_of_a_difference_follow_its_p(p: float, words: str) -> None:
    assert words in judgement(-0.02, p, 500)


def test_culprits_are_marked_at_their_index_with_activations_downwards() -> None:
    figure = figures.culprits(FOUND_SITES, ["stem.conv.weight", "stem.conv.out"])
    marks = figure.tables["marks"].set_index("text")["at"]
    assert list(marks.index) == ["1", "2"]
    assert marks["1"] > 0.8
    assert marks["2"] < -0.05
    assert figure.alt == "Of 5 sites stem.conv.weight, stem.conv.out do 89 % of the harm."
    assert figures.culprits(FOUND_SITES, ["stem.conv.out"]).alt.startswith("Of 5 sites stem.conv.out does ")


def test_where_nobody_is_guilty_the_worst_site_is_named() -> None:
    told = figures.culprits(FOUND_SITES).alt
    assert told.startswith("None of 5 sites is named as a culprit; stem.conv.weight moves the answers most, by ")
    assert told.endswith("0.8 nats, 84 % of the harm.")


def test_an_ablation_of_masks_is_of_the_mean_iou_and_its_p_is_wilcoxons() -> None:
    table = ablation([0.1, 0.994, 0.996], ["equalize", "correct-bias"]).assign(metric="miou")
    for figure in (figures.left_out(table), figures.waterfall(table)):
        said = f"{figure.title} {figure.look} {figure.spec}"
        assert "mean IoU" in said
        assert "McNemar" not in said
        assert "'title': 'accuracy'" not in said
    assert "Wilcoxon's signed-rank test" in figures.left_out(table).look
    assert pairs(15, 5, 0.04, "miou") == "15 images better, 5 worse, p = 0.04"
