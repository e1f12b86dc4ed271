"""The Ranges page answers from what is stored, measures the rest, and gives every range away in other words."""

from __future__ import annotations

import ast
import shlex
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pandas as pd
import pytest
import yaml
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

import qexplore as qx
from qexplore.cli import run as run_verb
from qexplore.figures.ranges import decisive
from qexplore.recipes.pairs import pairs
from qexplore.runs import prepared, profiles
from qexplore.ui.post_training.choice import read_own
from qexplore.ui.ranges import answers, keep
from qexplore.ui.ranges.answers import Tried, find, stored, wanting
from qexplore.ui.ranges.choice import HAND, Choice, read_hand, rounded, write_hand
from qexplore.ui.ranges.numbers import verdict
from qexplore.zoo import names
from tests.pages.conftest import Bench
from tests.pages.words import words

Open = Callable[..., AppTest]
TASK, SITE = "resnet-digits", "blocks.0.second.conv.out"


def choice(**changes: object) -> Choice:
    return replace(Choice(profiles.load(TASK), SITE, 2, None, "min-max"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [name for name in names() if "digits" in name])  # where all is measured
def test_the_page_opens_where_the_choice_of_a_range_shows(opened: Open, bench: Bench, task: str) -> None:
    at = opened("ranges", task=task)
    site, bits = decisive(profiles.load(task).ranges)
    assert (at.selectbox(key="site").value, at.select_slider(key="b").value) == (site, bits)
    said = words(at)
    assert "images lost" in said or "lost, p" in said
    assert "95 %" in said
    assert bench.asked == []  # all of it is stored


@pytest.fixture
def pictures_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that looks as if it held CIFAR-10."""
    (tmp_path / "cifar-10-batches-py").mkdir()
    monkeypatch.setenv("QEXPLORE_DATA", str(tmp_path))


@pytest.mark.usefixtures("pictures_there")
def test_where_no_accuracy_of_a_site_is_stored_the_page_opens_at_few_bits_and_measures(
    opened: Open, bench: Bench
) -> None:
    at = opened("ranges", task="resnet20-cifar10")
    assert not at.exception
    assert at.select_slider(key="b").value <= 4
    assert bench.asked[-1]["task"] == "resnet20-cifar10"
    assert bench.asked[-1]["images"] == profiles.load("resnet20-cifar10").images == 500  # those of all other figures


@pytest.mark.parametrize(("page", "query"), [("ranges", {}), ("budgets", {"w": "3.7", "a": "4.1"})])
def test_where_the_images_are_absent_nothing_is_asked_and_one_notice_says_so(
    opened: Open, bench: Bench, page: str, query: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEXPLORE_DATA", str(home))
    at = opened(page, task="resnet20-cifar10", **query)
    assert bench.asked == []
    assert "nothing new can be" in at.info[0].value
    assert list(at.warning) == []


def test_an_accuracy_that_nobody_knows_is_a_sentence_and_not_an_empty_picture(
    opened: Open, bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEXPLORE_DATA", str(home))
    at = opened("ranges", task="resnet20-cifar10")
    assert "**Accuracy:** not measured with these ranges, for the images are not here" in words(at)
    assert "accuracy" not in at.dataframe[0].value.columns
    drawn = [chart.proto.alt for chart in at.get("vega_lite_chart")]
    assert not any("Accuracy of the network with each range" in alt for alt in drawn)
    assert "FP32 on the same 500 images" in words(at)


@pytest.mark.usefixtures("pictures_there", "bench")
def test_the_line_of_fp32_is_that_of_the_images_of_the_points(opened: Open) -> None:
    at = opened("ranges", task="resnet20-cifar10")
    profile = profiles.load("resnet20-cifar10")
    lines = [d for chart in at.get("vega_lite_chart") for d in chart.proto.datasets if d.name == "fp32"]
    drawn = [float(convert_arrow_bytes_to_pandas_df(line.data.data)["fp32"].iloc[0]) for line in lines]
    assert drawn == [profile.fp32_here["value"]] * 3


def test_a_stored_accuracy_is_what_a_run_measures() -> None:
    tried = stored(choice())["min-max"]
    settings = {f"sites.{SITE}.bits": 2, f"sites.{SITE}.method": "min-max"}
    found = qx.run(TASK, qx.Recipe.load("w8a8").with_settings(settings)).accuracy
    assert (tried.measured.value, tried.measured.images) == (found.value, found.images)


def test_few_bits_elsewhere_are_measured_with_every_estimator(opened: Open, bench: Bench) -> None:
    at = opened("ranges", task=TASK, site=SITE, b="3", rest="4", by="percentile")
    asked = bench.asked[-1]
    assert asked["bits"][SITE] == 3
    assert set(asked["bits"].values()) == {3, 4}
    assert asked["variants"]["min-max"] == {SITE: {"method": "min-max"}}
    assert "mse" not in asked["variants"]
    said = words(at)
    assert "90.0 %" in said
    assert "3 images gained, 15 lost, p = 0.0075" in said
    assert "in 0.10 s" in said


def test_a_range_by_hand_in_the_address_is_measured(opened: Open, bench: Bench) -> None:
    index = int(choice().row["index"])
    opened("ranges", task=TASK, site=SITE, b="2", by=HAND, hand=f"{index}:-1.5,2")
    assert bench.asked[-1]["variants"] == {HAND: {SITE: {"range": [-1.5, 2.0]}}}


@pytest.mark.parametrize(("site", "some"), [(SITE, True), ("blocks.0.second.conv.weight", False)])
def test_by_hand_says_where_its_errors_are_of_fewer_values_than_those_of_the_estimators(
    opened: Open, bench: Bench, site: str, some: bool
) -> None:
    at = opened("ranges", task=TASK, site=site, b="2", by=HAND)
    said = "Errors by hand, here and in the table, are of 4,096 values; those of estimators of all."
    assert (said in words(at)) == some


def test_a_range_by_hand_of_another_site_is_left_alone(opened: Open, bench: Bench) -> None:
    at = opened("ranges", task=TASK, site=SITE, b="2", by=HAND, hand="1:-1.5,2")
    assert bench.asked == []
    assert "move an end of the range below" in words(at)


@pytest.mark.parametrize(
    "query",
    [
        {"site": "nope"},
        {"b": "99"},
        {"b": "x"},
        {"rest": "1"},
        {"by": "nope"},
        {"by": HAND, "hand": "9:x,y"},
        {"by": HAND, "hand": "9"},
        {"site": "classifier.weight", "by": "batch-norm"},
    ],
)
def test_an_address_that_means_nothing_does_no_harm(opened: Open, query: dict[str, str]) -> None:
    at = opened("ranges", **query)
    assert not at.error
    assert at.get("vega_lite_chart")


def test_an_estimator_that_does_not_serve_the_next_site_gives_way(opened: Open) -> None:
    at = opened("ranges", task=TASK, site=SITE, by="batch-norm")
    at.selectbox(key="site").set_value("classifier.weight").run()
    assert not at.exception
    assert at.get("button_group")[0].value == "min-max"


def test_a_bench_that_fails_is_a_message_and_a_second_try(opened: Open, bench: Bench) -> None:
    bench.refusal = "The warm bench was killed by signal 9; ask again, and a new one starts."
    at = opened("ranges", task=TASK, site=SITE, b="5")
    assert "killed by signal 9" in at.warning[0].value
    bench.refusal = ""
    at.button(key="again").click().run()
    assert not at.warning
    assert "90.0 %" in words(at)


def test_a_weight_that_equalization_does_not_touch_is_called_so(opened: Open) -> None:
    assert any("does not touch" in info.value for info in opened("ranges", task=TASK, site="stem.conv.weight").info)
    shown = opened("ranges", task=TASK, site="blocks.0.first.conv.weight").info
    assert not any("does not touch" in info.value for info in shown)


@pytest.mark.parametrize(
    "text", [None, "", "9", "9:1", "9:1,2", "9:-1,nan", "9:-1,inf", "9:0,0", "8:-1,1", "9:-1e18,1", "9:" + "9" * 5000]
)
def test_a_text_that_is_no_range_of_this_site_is_none(text: str | None) -> None:
    assert read_hand(text, 9) is None


def test_a_range_by_hand_survives_its_address() -> None:
    ends = rounded((-1.234567891, 2.3456789))
    assert read_hand(write_hand(9, ends), 9) == ends


WAYS = [
    {"by": "percentile"},
    {"by": HAND, "ends": (-1.5, 2.0)},
    {"by": "golden-section", "bits": 3, "rest": 4},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way["by"])
def test_every_door_measures_what_the_page_shows(way: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = choice(**way)
    monkeypatch.setattr(answers.bench, "ask", lambda request, asker: prepared.answer(request))
    shown = answers._measure(asked, [asked.by], "")[asked.by].measured

    from_yaml = qx.Recipe.from_document(qx.Recipe.load("w8a8").to_document() | yaml.safe_load(keep.snippet(asked)))
    parser = ArgumentParser()
    run_verb.arguments(parser)
    line, rest = parser.parse_known_args(shlex.split(keep.command(asked))[4:])
    from_line = qx.Recipe.load(line.recipe).with_settings(pairs(line.set, "--set"))
    space: dict = {}
    exec(keep.cell(asked), space)
    ast.parse(keep.cell(asked))
    assert rest == []
    assert from_line.to_document() == from_yaml.to_document()
    assert qx.run(TASK, from_line, line.seed).accuracy == space["result"].accuracy
    tolerance = 1e-12 if asked.rest is None else 0.02  # elsewhere calibration has seen weights at fewer bits
    assert space["result"].accuracy.value == pytest.approx(shown.value, abs=tolerance)


def test_the_whole_recipe_with_the_range_opens_on_post_training(opened: Open) -> None:
    asked = choice(by=HAND, ends=(-1.5, 2.0), rest=4)
    index = int(asked.row["index"])
    at = opened("ranges", task=TASK, site=SITE, b="2", rest="4", by=HAND, hand=f"{index}:-1.5,2")
    links = [dict(parse_qsl(link.proto.query_string)) for link in at.get("page_link")]
    own = next(read_own(link["recipe"]) for link in links if "recipe" in link)
    assert own is not None
    assert own.recipe.sites == {SITE: {"bits": 2, "range": [-1.5, 2.0]}}
    assert (own.recipe.weights["bits"], own.recipe.activations["bits"]) == (4, 4)
    assert not opened("post_training", **next(link for link in links if "recipe" in link)).error


def test_only_what_is_not_known_is_asked_for() -> None:
    assert wanting(choice(), stored(choice())) == []
    hand = choice(by=HAND, ends=(-1.0, 1.0))
    assert wanting(hand, stored(hand)) == [HAND]
    beyond = choice(bits=6)
    assert "mse" not in wanting(beyond, stored(beyond))
    assert {"min-max", "percentile"} <= set(wanting(beyond, stored(beyond)))


def test_an_opaque_part_is_no_site_with_bits() -> None:
    profile = profiles.load(TASK)
    opaque = pd.DataFrame([{"site": "strange", "index": 24, "kind": "opaque", "layer": "strange"}])
    profile.__dict__["sites"] = pd.concat([profile.sites, opaque], ignore_index=True)
    assert "strange" not in choice(profile=profile, rest=4).allocation()


def test_what_is_stored_is_found_without_a_bench() -> None:
    found = find(choice())
    assert not found.pending
    assert set(found.tried) == set(choice().table["method"])


def test_a_difference_that_may_be_chance_is_called_so() -> None:
    m = answers.Measured(0.9, 0.87, 0.92, 500)
    assert verdict(Tried(m, 0, 0, 0.0, 1.0)) == "every image is answered alike"
    assert verdict(Tried(m, 1, 3, -0.004, 0.6)) == "1 image gained, 3 lost: may be chance (p = 0.6)"
    assert verdict(Tried(m, 4, 49, -0.09, 1e-9)) == "4 images gained, 49 lost, p < 0.001"
    masks = replace(m, metric="miou")
    assert verdict(Tried(masks, 0, 0, 0.0, 1.0)) == "every image has as many pixels right"
    assert verdict(Tried(masks, 15, 5, 0.0, 0.04)) == "15 images better, 5 worse, p = 0.04"


def test_the_change_is_the_stored_one_and_in_older_profiles_that_of_the_images() -> None:
    row = {"accuracy": 0.9, "low": 0.87, "high": 0.92, "images": 20, "gained": 15, "lost": 5, "p": 0.04}
    assert answers._tried({**row, "change": 0.0}, "miou").change == 0
    assert answers._tried(row, "accuracy").change == 0.5


def test_the_mean_iou_of_masks_is_called_so_and_its_change_is_its_own(opened: Open, masks: Bench) -> None:
    said = words(opened("ranges", task=TASK, site=SITE, b="3", rest="4", by="percentile"))
    assert "mean IoU 90.0 % with any range" in said
    assert "3 images better, 15 worse, p = 0.0075" in said
    assert "−2.4 points" in said
    assert "Mean IoU of the whole network as measured" in said
    assert "right on" not in said
    assert "accuracy" not in said.lower()


def test_empty_words_in_the_address_mean_the_start(opened: Open) -> None:
    at = opened("ranges", task=TASK, by="", site="", rest="", b="")
    assert "your range, min-max" in words(at)
