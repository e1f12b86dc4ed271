"""Figures about ranges draw what the tables say, and say in words what they draw."""

from __future__ import annotations

import json

import altair as alt
import numpy as np
import pandas as pd
import pytest

from qexplore import figures
from qexplore.figures import ranges
from qexplore.runs import profiles

VALUES = np.random.default_rng(0).normal(size=800)
SITE = pd.DataFrame(
    {
        "site": "head.out",
        "kind": "activation",
        "method": ["min-max", "mse", "batch-norm"],
        "bits": 2,
        "lo": [-3.5, -1.2, -6.0],
        "hi": [3.2, 1.8, 6.0],
        "scale": [2.2, 1.0, 4.0],
        "sqnr_db": [2.0, 8.0, 1.0],
        "rounding": [0.6, 0.1, 0.8],
        "clipping": [0.0, 0.06, 0.0],
        "accuracy": [0.9, 0.98, 0.55],
        "low": [0.87, 0.96, 0.51],
        "high": [0.92, 0.99, 0.59],
        "images": 500.0,
    }
)
OTHER = SITE.assign(site="stem.weight", kind="weight", accuracy=0.99, sqnr_db=9.0)
TABLE = pd.concat([SITE, OTHER], ignore_index=True)
SITES = pd.DataFrame({"site": ["stem.weight", "head.out"], "index": [1, 4]})
OUTCOMES = SITE.rename(columns={"method": "range"})[["range", "accuracy", "low", "high", "images"]]
EVERYWHERE = pd.concat(
    [
        SITE[["kind", "method", "bits", "accuracy", "low", "high", "images"]],
        SITE[["kind", "method", "bits", "accuracy", "low", "high", "images"]].assign(bits=4, accuracy=0.98),
    ]
)
CHANNELS = pd.DataFrame(
    {
        "site": ["a"] * 3 + ["b"] * 2,
        "channel": [0, 1, 2, 0, 1],
        "lo": [-8.0, -1.0, -0.5, -1.0, -2.0],
        "hi": [2.0, 1.0, 0.1, 1.0, 1.0],
        "equalized_lo": [-1.0, -1.0, -0.9, -1.0, -2.0],
        "equalized_hi": [0.25, 1.0, 0.2, 1.0, 1.0],
    }
)
WEIGHTS = pd.DataFrame({"site": ["a", "b"], "index": [1, 3]})


def everything() -> list[figures.Live]:
    return [
        ranges.brackets(VALUES, SITE, "head.out", picked="mse", stored="mse"),
        ranges.parts(SITE, "head.out", picked="mse"),
        ranges.outcomes(OUTCOMES, "head.out", fp32=0.99, picked="mse"),
        ranges.contest(TABLE, SITES, picked="head.out"),
        ranges.contest(TABLE, SITES, over="accuracy"),
        ranges.everywhere(EVERYWHERE, "activation", fp32=0.99),
        ranges.equalized(CHANNELS, "a"),
        ranges.imbalance(CHANNELS, WEIGHTS, picked="a"),
    ]


@pytest.mark.parametrize("figure", everything(), ids=lambda f: f.name)
def test_a_figure_is_valid_brings_words_and_data(figure: figures.Live) -> None:
    document = figure.document()
    json.dumps(document, default=float)
    alt.Chart.from_dict(document, validate=True)
    assert figure.alt.endswith(".")
    assert figure.look.endswith(".")
    assert figure.title.endswith(".")
    assert len(figure.data)


def test_brackets_end_where_the_ranges_do_and_every_value_is_counted() -> None:
    drawn = ranges.brackets(VALUES, SITE, "head.out", picked="mse", stored="min-max")
    rows = drawn.tables["brackets"].set_index("method")
    assert rows.loc["batch-norm", ["lo", "hi"]].tolist() == [-6.0, 6.0]
    assert rows["label"].tolist() == ["min-max (stored)", "mse", "batch-norm"]
    assert rows.index[rows["picked"]].tolist() == ["mse"]
    bins = drawn.tables["bins"]
    assert bins["count"].sum() == len(VALUES)
    assert (bins["from"].min(), bins["to"].max()) == (-6.0, 6.0)
    assert "mse keeps 8.0 dB with -1.2 to 1.8, batch-norm 1.0 dB" in drawn.alt


def test_parts_of_the_error_add_up() -> None:
    drawn = ranges.parts(SITE, "head.out")
    whole = drawn.tables["parts"].groupby("method")["error"].sum()
    assert whole["mse"] == pytest.approx(0.16)
    assert drawn.alt == "head.out: least error by mse, 8.0 dB; 38 % of it is clipping."


def test_a_range_that_was_not_measured_has_a_row_and_no_mark() -> None:
    table = pd.concat([OUTCOMES, pd.DataFrame([{"range": "by hand"}])], ignore_index=True)
    drawn = ranges.outcomes(table, "head.out", fp32=0.99, picked="by hand")
    assert "by hand" in drawn.tables["rows"]["range"].tolist()
    assert "by hand" not in drawn.tables["known"]["range"].tolist()
    assert "best mse: 98.0 % (96.0–99.0 %, 500 images); worst batch-norm: 55.0 %" in drawn.alt
    nothing = ranges.outcomes(table.assign(accuracy=float("nan")), "head.out", fp32=0.99)
    assert "No accuracy has been measured" in nothing.alt


def test_the_line_of_fp32_leaves_room_for_the_number_above_a_mark() -> None:
    drawn = ranges.outcomes(OUTCOMES, "head.out", fp32=0.99)
    assert drawn.tables["fp32"]["range"].tolist() == OUTCOMES["range"].tolist()
    fp32, text = drawn.spec["layer"][1], drawn.spec["layer"][-1]
    assert fp32["mark"]["size"] / 2 + text["mark"]["fontSize"] / 2 <= -text["mark"]["dy"] + 2


def test_winners_are_counted_ties_for_each() -> None:
    drawn = ranges.contest(TABLE, SITES, over="accuracy")
    assert "mse at 2 of 2 sites" in drawn.alt
    assert "min-max at 1" in drawn.alt
    assert "matters most at head.out" in drawn.alt


def test_the_decisive_site_is_where_accuracies_are_furthest_apart() -> None:
    more = pd.concat([TABLE, SITE.assign(bits=3)], ignore_index=True)
    assert ranges.decisive(more) == ("head.out", 3)


def test_without_accuracies_the_decisive_site_is_where_sqnr_is_furthest_apart_at_few_bits() -> None:
    bare = TABLE.assign(accuracy=float("nan"))
    expected = TABLE.groupby("site")["sqnr_db"].agg(lambda t: t.max() - t.min()).idxmax()
    site, bits = ranges.decisive(pd.concat([bare, bare.assign(bits=8)], ignore_index=True))
    assert (site, bits) == (expected, TABLE["bits"].iloc[0])


def test_one_estimator_everywhere_names_the_bits_that_part_them() -> None:
    said = ranges.everywhere(EVERYWHERE, "activation", fp32=0.99).alt
    assert said == "All activations at 2 bits: mse keeps 98.0 %, batch-norm 55.0 %, on 500 images."
    assert "No estimator was measured" in ranges.everywhere(EVERYWHERE, "weight", fp32=0.99).alt


def test_equalization_is_told_where_it_acts_and_where_it_does_not() -> None:
    assert ranges.touched(CHANNELS, "a")
    assert not ranges.touched(CHANNELS, "b")
    assert (
        "16 times as wide as the narrowest before equalization, 1.11 times after" in ranges.equalized(CHANNELS, "a").alt
    )
    assert "does not touch its 2 channels" in ranges.equalized(CHANNELS, "b").alt
    assert "Most unbalanced is a" in ranges.imbalance(CHANNELS, WEIGHTS).alt


def test_channels_far_apart_stand_on_an_axis_that_shows_both() -> None:
    assert "scale" not in ranges.equalized(CHANNELS, "a").spec["encoding"]["y"]
    far = CHANNELS.assign(lo=[-800.0, -1.0, -0.5, -1.0, -2.0])
    assert ranges.equalized(far, "a").spec["encoding"]["y"]["scale"]["type"] == "symlog"


@pytest.mark.parametrize("task", ["mobilenet-digits", "resnet20-cifar10"])
@pytest.mark.parametrize("kind", ["weight", "activation"])
def test_no_two_estimators_share_a_colour_or_a_shape(task: str, kind: str) -> None:
    profile = profiles.load(task)
    drawn = ranges.everywhere(profile.estimators, kind, fp32=0.99)
    marks = next(layer["encoding"] for layer in drawn.spec["layer"] if "shape" in layer["encoding"])
    for look in ("color", "shape"):
        scale = marks[look]["scale"]
        assert len(set(scale["range"])) == len(scale["domain"]) == drawn.data["method"].nunique()


def test_an_estimator_has_the_same_colour_and_shape_wherever_it_is_drawn() -> None:
    names = ["min-max", "mse", "batch-norm"]
    both = [ranges.contest(TABLE, SITES).spec, ranges.everywhere(EVERYWHERE, "activation", fp32=0.99).spec]
    scales = [
        layer["encoding"]["shape"]["scale"] for spec in both for layer in spec["layer"] if "shape" in layer["encoding"]
    ]
    assert len(scales) == 2
    assert scales[0] == scales[1]
    assert scales[0]["domain"] == names
