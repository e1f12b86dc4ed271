"""What goes in is what is drawn, and the words beside it state the finding."""

from __future__ import annotations

import json

import altair as alt
import numpy as np
import pandas as pd
import pytest

from qexplore import figures
from qexplore.figures.words import POWERS, small
from tests.figures.tables import FOUND_SITES, LADDER, PATH, POINTS, RISING, SITES, ablation, sensitivity

BITS = {"input": 8, "stem.conv.weight": 6, "stem.conv.out": 4, "head.weight": 2, "head.out": 8}
HERE = {"weight_bits": 4.0, "predicted": 0.955}


def channels(count: int) -> pd.DataFrame:
    """Channels of one weight whose ranges grow with their number."""
    ends = {"lo": -1.0, "q25": -0.5, "q50": 0.0, "q75": 0.5, "hi": 1.0}
    made = pd.DataFrame({"site": "head.weight", "channel": range(count)})
    return made.assign(**{name: end * (made["channel"] + 1) for name, end in ends.items()})


def everything() -> list[figures.Figure]:
    table = sensitivity()
    both = pd.concat([table, sensitivity("divergence", 2.0)], ignore_index=True)
    values = np.random.default_rng(0).normal(size=500)
    return [
        figures.frontier(POINTS, PATH, HERE, fp32=0.984),
        figures.allocation(SITES, BITS, locked=["head.weight"], picked="input"),
        figures.heatmap(table, metric="fit", picked="input", bits=BITS),
        figures.ranking(table, 2, metric="fit"),
        figures.agreement(both, "fit", 4),
        figures.losses(table, "head.weight", 4, metric="fit"),
        figures.histogram(values, figures.grid(-3, 3, 3), "head.weight"),
        figures.waterfall(ablation(RISING, LADDER)),
        figures.left_out(ablation(RISING, LADDER)),
        figures.culprits(FOUND_SITES, ["stem.conv.weight"]),
        figures.channels(channels(12), "head.weight"),
        figures.channels(channels(200), "head.weight"),
    ]


@pytest.mark.parametrize("figure", everything(), ids=lambda f: f.name)
def test_a_figure_is_valid_vega_lite_and_serializable(figure: figures.Live) -> None:
    document = figure.document()
    json.dumps(document, allow_nan=False)  # a notebook keeps it, and JSON has no NaN
    alt.Chart.from_dict(document, validate=True)


@pytest.mark.parametrize("figure", everything(), ids=lambda f: f.name)
def test_a_figure_brings_words_and_data(figure: figures.Live) -> None:
    assert figure.alt.endswith(".")
    assert figure.look.endswith(".")
    assert figure.title.endswith(".")
    assert len(figure.data)


def test_the_spec_of_a_figure_stays_equal_while_only_data_change() -> None:
    one = figures.frontier(POINTS, PATH, HERE, fp32=0.984)
    other = figures.frontier(POINTS, PATH * 0.9, {"weight_bits": 5.0, "predicted": 0.97}, fp32=0.984)
    assert one.spec == other.spec
    assert figures.allocation(SITES, BITS).spec == figures.allocation(SITES, dict.fromkeys(BITS, 2)).spec


def test_bars_show_the_bits_of_the_allocation_with_activations_downwards() -> None:
    bars = figures.allocation(SITES, BITS, locked=["head.weight"]).tables["bars"].set_index("site")
    assert bars["bits"].to_dict() == BITS
    assert bars.loc["stem.conv.weight", "signed"] == 6
    assert bars.loc["input", "signed"] == -8
    assert bars.index[bars["locked"]].tolist() == ["head.weight"]


def test_the_allocation_says_which_site_has_most_bits() -> None:
    assert "2 weight sites: 2 to 6 bits, most for stem.conv.weight" in figures.allocation(SITES, BITS).alt


def test_a_prediction_never_has_the_look_of_a_measurement() -> None:
    figure = figures.frontier(
        POINTS, PATH, {**HERE, "accuracy": 0.95, "low": 0.93, "high": 0.97, "images": 500}, fp32=0.98
    )
    marks = figure.tables["marks"]
    assert set(marks.loc[marks["series"].str.contains("predicted"), "accuracy"]) == {0.955}
    fills = dict(zip(*(figure.spec["layer"][4]["encoding"]["fill"]["scale"][k] for k in ("domain", "range"))))
    assert {name for name, fill in fills.items() if fill == "transparent"} == {"here, predicted"}


def test_the_frontier_states_where_one_is_and_every_baseline() -> None:
    said = figures.frontier(POINTS, PATH, HERE, fp32=0.984).alt
    assert "at 4 average weight bits: predicted 95.5 %" in said
    assert all(f"uniform W{b}A{b} " in said for b in (2, 4, 8))


LOW = pd.DataFrame(
    {
        "label": ["tried 2.20 / 3.00", "tried 2.25 / 3.00"],
        "weight_bits": [2.2, 2.25],
        "accuracy": [0.14, 0.16],
        "low": [0.1, 0.12],
        "high": [0.17, 0.2],
        "images": [500] * 2,
    }
)


def test_whatever_lies_below_the_axis_of_the_frontier_tells_its_accuracy() -> None:
    points = pd.concat([POINTS, LOW.assign(label="frontier 2.5 / 3")[:1]], ignore_index=True)
    figure = figures.frontier(points, PATH, HERE, fp32=0.984, tried=LOW[1:])
    marks, floor = figure.tables["marks"], figure.tables["ends"]["end"].min()
    below = marks[marks["accuracy"] < floor]
    assert below["below"].tolist() == ["W2A2 ↓ 31 %", "↓ 14 %", "↓ 16 %"]
    assert (below["y"] == floor).all()
    assert below["tag"].eq("").all()
    assert marks[marks["accuracy"] >= floor]["below"].eq("").all()
    assert figure.data["accuracy"].min() == 0.14  # the pointer and the table tell the number itself


@pytest.mark.parametrize("width", ["narrow", "wide"])
def test_what_is_told_below_the_axis_stands_beside_or_over_another_and_never_on_it(width: str) -> None:
    close = pd.concat([LOW] * 4, ignore_index=True)
    rows = figures.frontier(POINTS, PATH, HERE, fp32=0.984, tried=close).tables["marks"].query("below != ''")
    shown = rows[rows[width] >= 0]
    assert not shown.duplicated([width, "x"]).any()
    assert set(shown[width]) == {0, 1, 2}
    assert len(shown) < len(rows)  # where no room is left there stands nothing


def test_the_axis_of_the_frontier_reaches_down_to_where_one_is() -> None:
    here = {"weight_bits": 2.5, "predicted": 0.322, "accuracy": 0.368, "low": 0.327, "high": 0.411, "images": 500}
    figure = figures.frontier(POINTS, PATH, here, fp32=0.984)
    assert figure.tables["ends"]["end"].min() == 0.2
    own = figure.tables["marks"][figure.tables["marks"]["series"].str.startswith("here")]
    assert own["y"].tolist() == [0.322, 0.368]
    assert figures.frontier(POINTS, PATH, HERE, fp32=0.984).tables["ends"]["end"].min() > 0.9
    assert figure.spec == figures.frontier(POINTS, PATH, HERE, fp32=0.984).spec  # patched, not drawn anew


def test_the_predicted_path_ends_where_it_leaves_the_axis() -> None:
    path = pd.DataFrame({"weight_bits": [2.0, 4.0, 8.0], "accuracy": [0.5, 0.98, 0.98]})
    figure = figures.frontier(POINTS, path, HERE, fp32=0.984)
    drawn, floor = figure.tables["path"], figure.tables["ends"]["end"].min()
    assert drawn["accuracy"].tolist() == [floor, 0.98, 0.98]
    assert drawn["x"].iloc[0] == pytest.approx(2 + 2 * (floor - 0.5) / 0.48)


def test_the_heatmap_names_the_site_that_hurts_most() -> None:
    assert figures.heatmap(sensitivity(), metric="fit").alt.startswith("At 2 bits stem.conv.weight, head.weight")


def test_a_loss_that_is_not_positive_still_has_a_colour() -> None:
    table = sensitivity()
    table.loc[0, "loss"] = -1e-3
    assert (figures.heatmap(table, metric="fit").tables["sites"]["floor"] > 0).all()
    assert "max(datum.loss, datum.floor)" in str(figures.heatmap(table, metric="fit").spec["transform"])
    assert figures.heatmap(table, metric="fit").data["loss"].min() == -1e-3


@pytest.mark.parametrize(
    ("metric", "title"),
    [("fit", "rise of the loss, nats"), ("fisher", "move of the answers, nats"), ("sqnr", "noise over signal")],
)
def test_every_metric_has_its_own_words_and_unit(metric: str, title: str) -> None:
    heat = figures.heatmap(sensitivity(), metric=metric)
    bars = figures.ranking(sensitivity(), 4, metric=metric)
    assert heat.spec["layer"][0]["encoding"]["color"]["legend"]["title"] == title
    assert bars.spec["encoding"]["x"]["title"] == title
    assert title in heat.alt
    assert ("nats" in heat.look) == ("nats" in title)


@pytest.mark.parametrize(
    ("losses", "marks"),
    [([0.03, 0.2], [0.1]), ([2e-5, 0.2], [1e-4, 1e-3, 1e-2, 1e-1]), ([2e-9, 0.2], [1e-7, 1e-5, 1e-3, 1e-1]), ([], [])],
)
def test_the_scale_of_colours_is_marked_at_a_few_powers_of_ten(losses: list[float], marks: list[float]) -> None:
    table = sensitivity().head(len(losses)).assign(loss=losses)
    drawn = figures.heatmap(table, metric="fit")
    assert drawn.spec["layer"][0]["encoding"]["color"]["legend"]["values"] == pytest.approx(marks)


def test_worst_first_puts_the_worst_site_first() -> None:
    rows = figures.heatmap(sensitivity(), metric="fit", order="loss").tables["sites"]
    assert rows.loc[rows["rank"] == 0, "site"].tolist() == ["stem.conv.weight"]


def test_equal_orders_correlate_fully() -> None:
    both = pd.concat([sensitivity(), sensitivity("divergence", 2.0)], ignore_index=True)
    assert figures.correlations(both)["correlation"].tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_bins_count_every_value_once() -> None:
    values = np.random.default_rng(0).normal(size=777)
    figure = figures.histogram(values, figures.grid(-1, 1, 4))
    assert figure.data["count"].sum() == 777
    assert "16 grid points from -1" in figure.alt


def test_a_node_of_the_graph_carries_the_index_of_its_site() -> None:
    nodes = [{"name": "stem", "op": "conv", "site": "stem.out", "layer": "stem"}]
    dot = figures.graph(nodes, [("stem", "stem")], {"stem.out": 7}, picked="stem.out")
    assert 'label="stem\\n7"' in dot
    assert '"stem" -> "stem"' in dot


def test_runs_with_long_names_are_told_apart_beside_the_axis_and_to_a_tenth_of_a_percent() -> None:
    names = [f"recipe corrected-w4a4-per-tensor without equalize on mobilenet-digits · 261121-{i}" for i in range(3)]
    runs = pd.DataFrame({"name": names, "accuracy": 0.996, "low": 0.986, "high": 0.999, "images": 500})
    layout = figures.compare(runs).plot.layout
    shown = layout.yaxis.ticktext
    assert len(set(shown)) == 3
    assert max(len(name) for name in shown) <= 34
    assert layout.xaxis.tickformat == ".1~%"


def test_mean_ious_are_named_beside_accuracies() -> None:
    runs = pd.DataFrame({"name": ["one", "two"], "accuracy": 0.8, "low": 0.75, "high": 0.85, "images": 500})
    both = figures.compare(runs.assign(metric=["accuracy", "miou"]))
    assert both.plot.layout.xaxis.title.text == "accuracy or mean IoU"
    assert list(both.plot.data[0].text) == ["accuracy 80.0 %", "mean IoU 80.0 %"]
    assert "two mean IoU 80.0 %" in both.alt
    assert "do not compare" in both.look
    alone = figures.compare(runs.assign(metric="miou"))
    assert alone.plot.layout.xaxis.title.text == "mean IoU"
    assert list(alone.plot.data[0].text) == ["80.0 %", "80.0 %"]
    assert figures.compare(runs).plot.layout.xaxis.title.text == "accuracy"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.0279, "0.0279"),
        (0.00042, "0.00042"),
        (9.9996e-5, "0.0001"),
        (1.24e-5, "1.24 × 10⁻⁵"),
        (-4.2e-12, "−4.2 × 10⁻¹²"),
        (1e-5, "10⁻⁵"),
        (12345.6, "12,346"),
        (float("inf"), "inf"),
    ],
)
def test_a_small_number_is_written_as_a_class_reads_it(value: float, said: str) -> None:
    assert small(value) == said


def test_axes_of_losses_write_powers_of_ten_as_such() -> None:
    legend = figures.heatmap(sensitivity(), metric="fit").spec["layer"][0]["encoding"]["color"]["legend"]
    axis = figures.losses(sensitivity(), "head.weight", 4, metric="fit").spec["encoding"]["y"]["axis"]
    assert legend["labelExpr"] == axis["labelExpr"] == POWERS
    assert "format" not in legend
    assert "format" not in axis


@pytest.mark.parametrize(("metric", "title"), [("fisher", "move of the answers, nats"), ("sqnr", "noise over signal")])
def test_what_a_site_loses_has_the_words_of_its_metric(metric: str, title: str) -> None:
    figure = figures.losses(sensitivity(), "head.weight", 4, metric=metric)
    assert title in str(figure.spec["layer"])
    assert figure.spec["encoding"]["y"]["title"] == ("nats" if "nats" in title else title)
    assert ("nats" in figure.alt) == ("nats" in title)


def test_the_heat_map_says_what_its_unit_means() -> None:
    assert "0.01 nats" in figures.heatmap(sensitivity(), metric="fit").look


def test_channels_stand_in_the_order_of_their_widths() -> None:
    drawn = figures.channels(channels(12), "head.weight")
    assert drawn.tables["channels"]["channel"].tolist() == list(range(11, -1, -1))
    assert drawn.alt == "head.weight: 12 channels; the widest range, 24, is 12 times as wide as the narrowest."
