"""The Budgets page answers, refuses in place, and remembers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
import streamlit
import yaml
from streamlit.testing.v1 import AppTest

import qexplore as qx
from qexplore.allocate import Budget
from qexplore.figures.words import percent
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import check
from qexplore.runs import prepared, profiles
from qexplore.runs.profiles import METRIC, Profile
from qexplore.ui.bench import Measured
from qexplore.ui.budgets.answers import Found, Question, find
from qexplore.ui.budgets.editor import edited
from qexplore.ui.budgets.keep import recipe_of, said_of_recipe
from qexplore.ui.budgets.numbers import dearer, dearest, verdict
from qexplore.ui.budgets.picture import beside
from qexplore.ui.budgets.tried import remember_tried, tried
from qexplore.ui.locks import BadLock, read_locks, write_locks
from qexplore.ui.stored import scores
from tests.pages.conftest import Bench
from tests.pages.words import words

Open = Callable[..., AppTest]


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page asks at once for what a browser asks for when the slider rests."""
    monkeypatch.setattr("qexplore.ui.budgets.page.find", functools.partial(find, ask=True))


def drawn(at: AppTest, figure: str, name: str) -> pd.DataFrame:
    """The table `name` of the figure whose title begins so."""
    import pyarrow as pa

    chart = next(c for c in at.get("vega_lite_chart") if c.proto.alt.startswith(figure))
    table = next(d for d in chart.proto.datasets if d.name == name).data.data
    found: pd.DataFrame = pa.ipc.open_stream(table).read_pandas()
    return found


def bars(at: AppTest) -> dict[str, int]:
    """The bits that the allocation figure draws."""
    frame = drawn(at, "Bars with the bits", "bars")
    return dict(zip(frame["site"], frame["bits"], strict=True))


def test_the_address_is_the_state(opened: Open) -> None:
    at = opened("budgets", w="4.5", a="5.0", kb="15", lock="3:8")
    assert at.slider(key="w").value == 4.5
    assert at.number_input(key="kb").value == 15
    assert bars(at)["blocks.0.expand.conv.weight"] == 8


def test_a_budget_that_cannot_be_met_is_told_in_place(opened: Open) -> None:
    at = opened("budgets", kb="3")
    assert "cannot be met: the least that is possible is 7.084" in at.error[0].value
    at.number_input(key="kb").set_value(20.0).run()
    assert not at.error
    assert bars(at)


def test_the_allocation_that_is_drawn_keeps_its_budget(opened: Open) -> None:
    at = opened("budgets", w="3.3", a="4.2")
    sites = profiles.load("mobilenet-digits").sites.set_index("site")
    for kind, limit in (("weight", 3.3), ("activation", 4.2)):
        drawn = {site: b for site, b in bars(at).items() if sites.loc[site, "kind"] == kind}
        spent = sum(b * sites.loc[site, "numel"] for site, b in drawn.items())
        assert spent <= limit * sites.loc[list(drawn), "numel"].sum()


def test_a_lock_that_names_no_site_is_one_sentence(opened: Open) -> None:
    assert "There is no site 99" in opened("budgets", lock="99:4").error[0].value


def test_undo_brings_the_budget_back(opened: Open) -> None:
    at = opened("budgets")
    before = bars(at)
    at.slider(key="w").set_value(5.0).run()
    assert bars(at) != before
    at.button(key="budgets mobilenet-digits-undo").click().run()
    assert at.slider(key="w").value == 3.0
    assert bars(at) == before
    at.button(key="budgets mobilenet-digits-redo").click().run()
    assert at.slider(key="w").value == 5.0


@pytest.mark.usefixtures("rested")
def test_the_bench_that_refuses_is_a_message_not_a_dead_page(opened: Open, bench: Bench) -> None:
    bench.refusal = "The warm bench was killed by signal 9; ask again, and a new one starts."
    at = opened("budgets", w="3.7", a="5.3")
    for _ in range(20):
        if at.warning:
            break
        at.run()
    assert "killed by signal 9" in at.warning[0].value
    bench.refusal = ""
    at.button(key="again").click().run()
    for _ in range(20):
        at.run()
    assert not at.warning
    assert "90.0 %" in words(at)


@pytest.mark.usefixtures("rested")
def test_a_measured_number_comes_with_interval_and_images(opened: Open, bench: Bench) -> None:
    at = opened("budgets", w="3.6", a="5.1")
    for _ in range(20):
        at.run()
    assert "87.0–92.0 %, 500 images, in 0.10 s" in words(at)
    assert bench.asked[-1]["bits"] == bars(at)


@pytest.mark.usefixtures("rested", "masks")
def test_the_measured_mean_iou_of_masks_is_called_so(opened: Open) -> None:
    at = opened("budgets", w="3.65", a="5.15")
    for _ in range(20):
        at.run()
    said = words(at)
    assert "87.0–92.0 %, 500 images, in 0.10 s" in said
    assert "measured mean IoU" in said
    assert "predicted mean IoU" in said
    assert "accuracy" not in said.split("Every measured point")[0].split("FP32 mean IoU")[1]
    assert any(c.proto.alt.startswith("Mean IoU over the budget") for c in at.get("vega_lite_chart"))


def test_the_full_measurement_goes_to_the_queue(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = []

    class Store:
        def submit(self, spec: dict) -> str:
            queued.append(json.loads(json.dumps(spec)))
            return "run"

    monkeypatch.setattr("qexplore.ui.budgets.keep.store", Store)
    at = opened("budgets")
    next(b for b in at.button if b.label == "Measure as a run").click().run()
    assert queued[0]["kind"] == "measure"
    assert queued[0]["bits"] == bars(at)


def test_the_allocation_as_a_recipe_measures_what_the_page_measures(opened: Open) -> None:
    at = opened("budgets", task="resnet-digits", w="2.5", a="3.5")
    profile = profiles.load("resnet-digits")
    found = find(Question(profile, scores(profile, METRIC), Budget(weight_bits=2.5, activation_bits=3.5), {}))
    shared = recipe_of(profile, found)
    assert shared.name == "resnet-digits-allocation"
    read = Recipe.from_document(yaml.safe_load(shared.to_yaml()))
    asked = {"task": profile.task, "recipe": profile.recipe, "seed": profile.seed, "bits": bars(at)}
    assert qx.run(profile.task, read).accuracy.to_document() == prepared.answer(asked)["accuracy"]


@pytest.mark.parametrize(("recipe", "same"), [("w8a8", True), ("data-free-w8a8", False), ("standard-w4a8", False)])
def test_the_page_says_where_the_recipe_measures_something_else(
    recipe: str, same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profiles.load("resnet-digits")
    monkeypatch.setitem(profile.header, "recipe", Recipe.load(recipe).to_document())
    said = said_of_recipe(profile)
    assert ("carried out, it measures the same" in said) == same
    assert ("anew at these bits" in said) != same
    shared = recipe_of(profile, find(Question(profile, scores(profile, METRIC), Budget(weight_bits=3.0), {})))
    check(shared)


COSTS = [(w, a) for w in (2, 3, 4) for a in (2, 3, 8)]
GRID = pd.DataFrame(
    [{"label": profiles.uniform_label(w, a), "weight_bits": w, "activation_bits": a} for w, a in COSTS]
    + [{"label": f"frontier {w} / {a}", "weight_bits": w, "activation_bits": a} for w, a in ((2.5, 3.0), (2.5, 8.0))]
)


@pytest.mark.parametrize(
    ("axis", "cost", "shown"),
    [
        ("weight_bits", (2.5, 8.0), ["W2A8", "W3A8", "W4A8", "2.5 / 8.0"]),
        ("weight_bits", (3.0, 2.99), ["W2A3", "W3A3", "W4A3", "2.5 / 3.0"]),
        ("kb", (3.0, 5.0), ["W2A3", "W3A3", "W4A3", "2.5 / 3.0"]),
        ("activation_bits", (3.9, 5.0), ["W3A2", "W3A3", "W3A8", "2.5 / 3.0", "2.5 / 8.0"]),
        ("activation_bits", (1.5, 5.0), ["W2A2", "W2A3", "W2A8", "2.5 / 3.0", "2.5 / 8.0"]),
        ("gbops", (3.0, 3.0), ["W2A2", "W3A3", "2.5 / 3.0", "2.5 / 8.0"]),
    ],
)
def test_an_allocation_is_compared_with_what_costs_no_more_on_the_other_side(
    axis: str, cost: tuple[float, float], shown: list[str]
) -> None:
    near = beside(GRID, {"weight_bits": cost[0], "activation_bits": cost[1]}, axis)
    assert [label.split(" ", 1)[1] for label in near["label"]] == shown


def test_figures_of_few_images_stand_beside_fp32_on_the_same_ones(opened: Open) -> None:
    profile = profiles.load("resnet20-cifar10")
    assert profile.images == profile.fp32_here["images"] == profile.points["images"].iloc[0]
    assert profile.fp32["images"] == 10_000
    at = opened("budgets", task="resnet20-cifar10")
    said = drawn(at, "Accuracy over the budget", "reference")["text"].tolist()
    assert said == [f"FP32 {percent(profile.fp32_here['value'])} on the same {profile.images} images"]
    assert f"on the same {profile.images} images" in words(at)
    assert any(b.label == "Measure on all 10,000 images" for b in at.button)


def test_mixed_bits_that_are_not_better_are_called_so() -> None:
    best = {"accuracy": 0.996, "low": 0.985, "high": 0.999}
    assert verdict(Measured(0.992, 0.98, 0.997, 500), best) == "mixed is not better here (−0.4 points)"
    close = verdict(Measured(0.997, 0.98, 0.999, 500), best)
    assert close == "mixed: +0.1 points; the 95 % intervals overlap, not paired"
    worse = {"accuracy": 0.776, "low": 0.737, "high": 0.81}
    assert verdict(Measured(0.954, 0.932, 0.969, 500), worse) == "mixed: +17.8 points"


@pytest.mark.parametrize(
    ("cost", "label", "said"),
    [
        ((3.0, 3.0), "uniform W3A3", "no more on either side"),
        ((2.98, 3.4), "uniform W3A3", "0.02 weight bits more"),
        ((2.96, 2.97), "uniform W3A3", "0.04 weight bits more and 0.03 activation bits more"),
        ((2.9, 3.4), "uniform W2A3", "no more on either side"),
    ],
)
def test_uniform_bits_that_cost_a_little_more_are_compared_and_called_so(
    cost: tuple[float, float], label: str, said: str
) -> None:
    here = {"weight_bits": cost[0], "activation_bits": cost[1]}
    best = dearest(GRID.assign(accuracy=GRID["weight_bits"] + GRID["activation_bits"]), here)
    assert best is not None
    assert (best["label"], dearer(best, here)) == (label, said)


def test_locks_survive_text() -> None:
    sites = profiles.load("resnet-digits").sites
    locked = {"stem.conv.weight": 8, "classifier.weight": 3}
    assert read_locks(write_locks(locked, sites), sites) == locked


@pytest.mark.parametrize("text", ["x", "3", "3:", "3:99", "3:0", "-1:4", "9" * 5000 + ":4", "3:" + "9" * 5000])
def test_a_text_that_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(BadLock, match="write index:bits"):
        read_locks(text, profiles.load("resnet-digits").sites)


def test_typed_bits_lock_and_a_cleared_tick_frees() -> None:
    rows = profiles.load("resnet-digits").sites[["site", "bits"]].iloc[:3]
    first, second, third = rows["site"]
    locked = edited({0: {"bits": 3}, 1: {"locked": True}, 2: {"locked": False}}, rows, {third: 5})
    assert locked == {first: 3, second: 8}


def test_locks_do_not_follow_to_another_task(opened: Open) -> None:
    at = opened("budgets", lock="3:8")
    at.selectbox(key="task").set_value("resnet-digits").run()
    assert not at.error
    assert at.text_input(key="lock").value == ""
    at.selectbox(key="task").set_value("mobilenet-digits").run()
    assert at.text_input(key="lock").value == ""


def test_answers_to_a_budget_are_not_those_of_an_older_profile() -> None:
    old = profiles.load("resnet-digits")
    new = replace(old, header={**old.header, "created": "2099-01-01T00:00:00+00:00"})
    first, second = (Question(profile, old.sensitivity, Budget(weight_bits=4.0), {}) for profile in (old, new))
    assert first.key != second.key
    assert first.measure_name({"input": 8}) != second.measure_name({"input": 8})
    assert first.key == Question(profiles.load("resnet-digits"), old.sensitivity, Budget(weight_bits=4.0), {}).key


def test_points_tried_in_a_visit_end_with_the_profile_they_were_tried_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamlit, "session_state", {})
    old = profiles.load("resnet-digits")
    new = replace(old, header={**old.header, "created": "2099-01-01T00:00:00+00:00"})
    hull = Question(old, scores(old, METRIC), Budget(weight_bits=4.0), {}).quick()
    remember_tried(old, Found(hull, hull, True, Measured(0.9, 0.87, 0.92, 500, seconds=0.1)))
    assert tried(old)["accuracy"].tolist() == [0.9]
    assert tried(new).empty


def test_where_gbops_leave_products_out_the_cost_says_so(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_products(profile: Profile, metric: str) -> pd.DataFrame:
        table = scores(profile, metric)
        return table.assign(macs=table["macs"] + 2_000 * (table["site"] == "input"))

    sentence = "leave out the products of two activations (attention): at least 1,000 MACs an image"
    assert sentence not in words(opened("budgets"))
    for page in ("budgets.page", "home"):  # the app opens on Home, which asks the same question
        monkeypatch.setattr(f"qexplore.ui.{page}.scores", with_products)
    assert sentence in words(opened("budgets", w="3.3"))
