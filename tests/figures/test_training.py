"""Figures of a training draw what was told, say it in words, and stay small however long it was."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexplore.figures import Live
from qexplore.figures import training as drawn
from qexplore.figures.training.overlay import APART
from qexplore.figures.training.thin import every, smooth, thin
from qexplore.plain import plain
from qexplore.runs.training_log import Log
from qexplore.runs.trainings import Training
from tests.trainings import SITES, recipe_events, row, training_events

MOST = 200_000  # bytes of JSON a figure


def training(step: str = "qbitopt", **more: Any) -> Training:
    return Training.of(Log().extend(enumerate(recipe_events(step, **more), 1)))


def everything(found: Training) -> list[Live]:
    stage, epochs = found.now, found.epochs
    site = "stem.conv.weight"
    moments = [(one.epoch, one.bits) for one in stage.allocations]
    return [
        drawn.loss(found.losses, found.marks, epochs, found.parts),
        drawn.accuracy(found.marks, epochs, before=(0.0, found.before), after=found.after, fp32=0.98),
        drawn.rate(found.losses, epochs),
        drawn.bits(moments, stage.sites, float(epochs), epochs, at=2.0, picked=site),
        drawn.limits(stage.limits, epochs, at=2.0),
        drawn.latent(stage.weights(site), 2, site),
        drawn.ends(stage.ends[stage.ends["site"] == site], site, epochs, at=2.0),
        drawn.shares("oscillation", found.shares("oscillation"), epochs),
        drawn.overlay([("one", found.marks), ("two", found.marks)], "accuracy"),
        drawn.overlay([("one", found.marks), ("two", found.marks)], "held_out_loss"),
    ]


@pytest.mark.parametrize("figure", everything(training()), ids=lambda f: f.name)
def test_a_figure_is_valid_vega_lite_with_words_and_data(figure: Live) -> None:
    document = figure.document()
    json.dumps(document, allow_nan=False)
    alt.Chart.from_dict(document, validate=True)
    assert all(text.endswith(".") for text in (figure.alt, figure.look, figure.title))
    assert len(figure.data)


def test_while_a_training_goes_on_only_data_change() -> None:
    early, late = everything(training(done=2, after=None)), everything(training())
    assert [one.name for one, other in zip(early, late) if one.spec != other.spec or one.title != other.title] == []


def test_no_figure_of_a_long_training_of_a_large_network_weighs_more_than_200_kb() -> None:
    sites = [dict(SITES[1], site=f"features.{i}.block.conv.weight", index=i) for i in range(120)]
    sites += [dict(SITES[2], site=f"features.{i}.block.conv.out") for i in range(120)]
    sites.append(SITES[1])
    found = training(epochs=100, every=1, sites=sites)
    assert len(found.now.allocations) == 101
    figures = everything(found)
    assert {f.name: size for f in figures if (size := len(json.dumps(plain(f.document())))) > MOST} == {}
    assert "of 101 allocations are drawn" in figures[3].look
    assert len(figures[0].tables["raw"]) <= 600 < len(found.losses)


def test_pieces_of_the_map_give_every_moment_its_bits() -> None:
    stage = training().now
    moments = [(one.epoch, one.bits) for one in stage.allocations]
    pieces = drawn.bits(moments, stage.sites, 6.0, 6.0).data
    for epoch, bits in moments:
        now = pieces[(pieces["from"] <= epoch) & ((epoch < pieces["to"]) | (pieces["to"] == 6.0))]
        now = now.groupby("site").tail(1)
        assert dict(zip(now["site"], now["bits"], strict=True)) == bits


def test_the_map_says_which_sites_gained_and_which_lost() -> None:
    sites = training().now.sites
    start, end = {"head.weight": 4, "input": 4, "head.out": 3}, {"head.weight": 6, "input": 2, "head.out": 3}
    said = drawn.bits([(0.0, start), (1.0, end)], sites, 2.0, 2.0).alt
    assert "more bits than at first: head.weight; fewer: input." in said


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ([4, 4, 4], "No re-allocation changed the bits of the first allocation."),
        ([4, 3, 3], "The bits changed at 1 of 2 re-allocations, last at epoch 0.5; since then they stay."),
        ([4, 3, 4], "The bits changed at 2 of 2 re-allocations, last at epoch 1."),
        ([4], ""),
        ([], ""),
    ],
)
def test_how_often_the_bits_changed_is_told(bits: list[int], said: str) -> None:
    assert drawn.changes([(i / 2, {"head.weight": each, "input": 8}) for i, each in enumerate(bits)]) == said


def test_a_real_site_has_a_colour_and_no_number() -> None:
    figure = drawn.bits([(0.0, {"input": 4})], training().now.sites, 1.0, 1.0)
    assert set(figure.data.loc[figure.data["site"] != "input", "bits"]) == {0}
    numbers = figure.spec["layer"][1]["transform"][0]["filter"]
    assert numbers.startswith("datum.bits > 0")


@pytest.mark.parametrize(("limit", "words"), [(3.0, "met at 6 of 6 re-allocations"), (2.95, "met at 3 of 6")])
def test_the_budget_is_told_from_the_data(limit: float, words: str) -> None:
    found = training(budget={"weight_bits": limit})
    assert words in drawn.kept(found.now.limits)
    assert f"at the last 3 of {limit:g} weight bits" in drawn.kept(found.now.limits)


def test_weights_outside_the_grid_are_counted() -> None:
    counts = [1, 2, 3, 4, 20, 20, 4, 3, 2, 1]
    moments = [{"epoch": 0.0, "lo": -1.2, "hi": 1.2, "from": -5.0, "to": 5.0, "counts": counts}]
    figure = drawn.latent(moments, 0, "site")
    outside = figure.data[figure.data["where"] == "outside"]
    assert outside["count"].tolist() == [1, 2, 3, 4, 4, 3, 2, 1]
    assert figure.data["share"].sum() == pytest.approx(1.0)
    assert "about 33.3 % of the weights outside all channels' grids." in figure.alt


def test_the_share_outside_their_own_grids_is_that_which_was_told() -> None:
    now = {"epoch": 1.0, "lo": -6.0, "hi": 6.0, "outside": 0.132, "from": -5.0, "to": 5.0, "counts": [1, 8, 1]}
    assert "; 13.2 % of the weights outside their own grid." in drawn.latent([now], 0, "site").alt


@pytest.mark.parametrize(("now", "words"), [(2.05, [1.95, 1.95]), (1.9, [1.9, 1.9]), (0.5, [0.5, 1.95])])
def test_the_names_of_the_ends_stand_clear_of_both_lines(now: float, words: list[float]) -> None:
    same = {"lo": -2.0, "from": -2.0, "to": 2.0, "counts": [1, 2, 1]}
    moments = [{"epoch": 0.0, "hi": 1.95, **same}, {"epoch": 1.0, "hi": now, **same}]
    assert drawn.latent(moments, 1, "site").tables["words"]["x"].tolist() == words


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (0.5, "-0.5 … 0.5 by epoch 4: 50 % narrower."),
        (1.06, "-1.06 … 1.06 by epoch 4: 6 % wider."),
        (1.001, "-1 … 1 by epoch 4: as wide as at the start."),
    ],
)
def test_a_range_that_moves_is_told_in_percent(end: float, told: str) -> None:
    rows = pd.DataFrame({"epoch": [0.0, 4.0], "lo": [-1.0, -end], "hi": [1.0, end]})
    assert f"went from -1 … 1 to {told}" in drawn.ends(rows, "head.weight", 4).alt


def test_the_name_of_a_noisy_line_stands_clear_of_it() -> None:
    losses = pd.DataFrame({"epoch": np.linspace(0.01, 4, 200), "loss": np.tile([0.1, 0.02], 100), "stage": 0})
    marks = pd.DataFrame({"epoch": [1.0, 2.0, 3.0, 3.9], "held_out_loss": [0.2, 0.9, 0.3, 0.2], "stage": 0})
    ends = drawn.loss(losses, marks, 4).tables["ends"].set_index("label")
    assert ends.loc["training images", ["loss", "up", "late"]].tolist() == [0.02, False, True]
    assert ends.loc["held-out images", ["loss", "up", "late"]].tolist() == [0.2, True, True]
    early = drawn.loss(losses, marks, 40).tables["ends"].set_index("label")
    assert not early["late"].any()
    assert 0.02 < early.loc["training images", "loss"] < 0.1  # beside the end of its smoothed line


def test_the_accuracy_tells_both_ends_and_the_gain() -> None:
    found = training("qat", before=0.71, after=0.95)
    said = drawn.accuracy(found.marks, 6, before=(0.0, found.before), after=found.after, fp32=0.986).alt
    assert said.startswith("Before training 71.0 % (69.0–73.0 %, 500 images); after epoch 6")
    assert "after training 95.0 % (93.0–97.0 %, 500 images), +24.0 points; FP32 98.6 %." in said


def test_labels_of_a_budget_stand_below_its_lines_each_in_a_row_of_its_own() -> None:
    budget = {"weight_bits": 3.0, "activation_bits": 4.0, "kb": 0.09, "gbops": 0.01}
    figure = drawn.limits(training("qbitopt", budget=budget).now.limits, 6, at=2.0)
    layers = figure.spec["layer"]

    def above_the_floor(place: dict[str, str]) -> int:
        return int(place["expr"].removeprefix("height - "))

    labels = [one["encoding"]["y"]["value"] for one in layers if one.get("data") == {"name": "ends"}]
    costs = next(one for one in layers if one.get("data") == {"name": "costs"})
    lowest, _ = costs["encoding"]["y"]["scale"]["range"]
    moment = next(one for one in layers if one.get("data") == {"name": "now"})
    assert [above_the_floor(label) for label in labels] == [45, 30, 15, 0]
    assert len(figure.tables["ends"]) == len(budget)
    assert above_the_floor(lowest) >= 45 + 15
    assert moment["encoding"]["y2"]["value"] == lowest


def test_losses_of_several_trainings_are_compared_without_an_interval() -> None:
    marks = training("qat").marks
    figure = drawn.overlay([("one", marks), ("other", marks)], "held_out_loss")
    assert "images)" not in figure.alt
    assert not [one for one in figure.spec["layer"] if one.get("encoding", {}).get("y2")]


def test_what_is_drawn_over_the_epochs_says_that_it_is_of_the_calibration_images() -> None:
    found = training("qat")
    both = [("one", found.marks), ("other", found.marks)]
    curves = [drawn.overlay(both, y) for y in ("accuracy", "held_out_loss")]
    accuracy = drawn.accuracy(found.marks, 6)
    for figure in [*curves, accuracy, drawn.loss(found.losses, found.marks, 6)]:
        assert "calibration" in figure.look
        assert ("no weight is trained on them" if figure is accuracy else "held out") in figure.look


def test_a_held_out_loss_that_turns_up_is_told() -> None:
    marks = pd.DataFrame({"epoch": [1.0, 2.0, 3.0], "held_out_loss": [0.5, 0.2, 0.4], "stage": 0})
    losses = pd.DataFrame({"epoch": [1.0, 3.0], "loss": [1.0, 0.1], "stage": 0})
    assert "least 0.2 after epoch 2" in drawn.loss(losses, marks, 3).alt


def test_a_distilled_loss_is_not_compared_in_height_with_a_cross_entropy() -> None:
    found = training("qat")
    words = [drawn.loss(found.losses, found.marks, 6, distilled=distilled).look for distilled in (False, True)]
    assert ["courses and not their heights" in each for each in words] == [False, True]
    events = [row("fp32", 0.98), *training_events("qat", 0)]
    begun = next(number for number, event in enumerate(events) if event["event"] == "training-started")
    assert not Training.of(Log().extend(enumerate(events, 1))).distilled
    events[begun] = {**events[begun], "distill": 0.5}
    assert Training.of(Log().extend(enumerate(events, 1))).distilled


def test_curves_of_two_stages_are_not_joined() -> None:
    events = [row("fp32", 0.98), *training_events("prune", 0), row("prune", 0.9), *training_events("qat", 1)]
    found = Training.of(Log().extend(enumerate(events, 1)))
    figure = drawn.accuracy(found.marks, found.epochs, parts=found.parts)
    assert set(figure.tables["marks"]["stage"]) == {0, 1}
    assert figure.tables["stages"]["step"].tolist() == ["prune", "qat W4A4"]
    lines = [one for one in figure.spec["layer"] if one.get("data") == {"name": "marks"}]
    assert all(one["encoding"]["detail"]["field"] == "stage" for one in lines)


def test_sparsity_tells_where_it_is_highest() -> None:
    rows = pd.DataFrame({"at": [0, 9], "epoch": [0.0, 1.0], "share": [0.0, 0.3], "a": [0.0, 0.1], "b": [0.0, 0.5]})
    assert "30.00 % weights that are zero after epoch 1" in drawn.shares("sparsity", rows, 1).alt
    assert "most in b (50.0 %), a (10.0 %)" in drawn.shares("sparsity", rows, 1).alt


def test_trainings_are_told_best_first_with_dashes_of_their_own() -> None:
    marks = training("qat").marks
    ends = {"low": [0.86, 0.46], "high": [0.93, 0.54]}
    tables = [marks.assign(accuracy=(0.9, 0.5)[i], low=ends["low"][i], high=ends["high"][i]) for i in (1, 0)]
    figure = drawn.overlay([("low", tables[0]), ("high", tables[1])])
    assert figure.alt == (
        "Calibration images, best first: B high 90.0 % (86.0–93.0 %, 300 images) after epoch 6, "
        "A low 50.0 % (46.0–54.0 %, 300 images) after epoch 6."
    )
    bars = [one for one in figure.spec["layer"] if one.get("encoding", {}).get("y2") == {"field": "high"}]
    assert len({bar["mark"]["xOffset"] for bar in bars}) == len(drawn.LETTERS)
    assert {"low", "high", "images"} <= set(figure.tables["ends"])
    line = next(one for one in figure.spec["layer"] if one.get("data") == {"name": "curves"})
    dashes = line["encoding"]["strokeDash"]["scale"]["range"]
    assert len({tuple(dash) for dash in dashes}) == 2


@pytest.mark.parametrize("y", ["accuracy", "held_out_loss"])
@given(ends=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4))
def test_letters_at_the_ends_of_curves_stand_clear_of_each_other_within_the_plot(y: str, ends: list[float]) -> None:
    marks = training("qat").marks
    curves = [marks.assign(**{y: np.linspace(0.5, end, len(marks))}, low=end - 0.01, high=end + 0.01) for end in ends]
    tables = drawn.overlay([(f"run {i}", curve) for i, curve in enumerate(curves)], y).tables
    letters, around = tables["ends"]["place"], tables["curves"][y]
    if y == "accuracy":
        around = pd.concat([around, tables["ends"]["low"], tables["ends"]["high"]])
    scale = np.asarray if y == "accuracy" else np.log
    whole = scale(around.max()) - scale(around.min())
    gaps = np.diff(np.sort(scale(letters)))
    assert gaps.min() >= (APART - 1e-9) * whole
    assert scale(letters).min() >= scale(around.min()) - 1e-9
    assert scale(letters).max() <= scale(around.max()) + 1e-9


def test_a_letter_with_room_stands_at_the_end_of_its_curve() -> None:
    marks = training("qat").marks
    curves = [marks.assign(accuracy=value) for value in (0.9, 0.5, 0.9)]
    curves[2] = curves[2][curves[2]["epoch"] <= 3]  # another end
    ends = drawn.overlay([(str(i), curve) for i, curve in enumerate(curves)]).tables["ends"]
    assert ends["place"].tolist() == pytest.approx(ends["accuracy"].tolist())


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3000), st.integers(4, 300))
def test_a_thinned_curve_keeps_its_ends_and_its_extremes(values: list[float], most: int) -> None:
    table = pd.DataFrame({"epoch": range(len(values)), "y": values})
    kept = thin(table, "y", most)
    assert len(kept) <= max(most, 4)
    assert kept["epoch"].is_monotonic_increasing
    assert kept["epoch"].iloc[[0, -1]].tolist() == [0, len(values) - 1]
    assert (kept["y"].min(), kept["y"].max()) == (min(values), max(values))


@given(st.integers(1, 500), st.integers(2, 60))
def test_numbers_that_are_kept_are_spread_from_the_first_to_the_last(count: int, most: int) -> None:
    kept = every(count, most)
    assert len(kept) <= most
    assert (kept[0], kept[-1]) == (0, count - 1)
    steps = np.diff(kept)
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_a_smoothed_constant_stays_what_it_is() -> None:
    assert smooth(pd.Series([2.0] * 50)).tolist() == pytest.approx([2.0] * 50)


def test_curves_of_masks_are_called_mean_iou() -> None:
    found = training("qat")
    one = drawn.accuracy(found.course, found.epochs, metric="miou")
    several = drawn.overlay([("one", found.marks)], "accuracy", "miou")
    for figure in (one, several):
        assert "mean IoU" in figure.title
        assert "'title': 'mean IoU" in str(figure.spec)
        assert "'title': 'accuracy" not in str(figure.spec)
