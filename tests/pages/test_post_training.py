"""The Post-training page: what each step buys, switched off and on, and from the culprit to its repair."""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from qexplore.figures.words import percent
from qexplore.recipes import Recipe, presets
from qexplore.recipes.ablation import BUILD_UP, WITHOUT, variants
from qexplore.runs import Store, profiles
from qexplore.ui.post_training.address import BadLink, pack, unpack
from qexplore.ui.post_training.choice import (
    FORMATS,
    GRANULARITIES,
    PIPELINES,
    Choice,
    Own,
    read_own,
    recipe_of,
    without,
    word,
    write_own,
)
from qexplore.ui.post_training.flow import stages
from qexplore.ui.post_training.known import variant
from qexplore.ui.post_training.steps import answer, replaceable
from tests.executors import Idle
from tests.figures.tables import FOUND_SITES, LADDER, RISING, ablation
from tests.pages.shelf import accuracy, shelve
from tests.pages.words import words

Open = Callable[..., AppTest]
TASK, PRESET, BARE = "mobilenet-digits-unbalanced", "corrected-w8a8-per-tensor", "w8a8-per-tensor"
HERE = {"task": TASK, "pipeline": "corrected", "format": "W8A8"}
NOWHERE = {**HERE, "format": "W4A8", "ranges": "channel"}  # no preset: nothing of it can be stored
UNKNOWN = recipe_of("corrected", "W4A8", "channel")


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page queues stays in the queue."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())


@pytest.fixture
def measured(home: Path) -> Path:
    """A home in which the ladder has been measured on the unbalanced twin."""
    spec = {"kind": "ablation", "task": TASK, "recipe": PRESET, "seed": 0}
    shelve(home, spec, {"accuracy": accuracy(0.996)}, ablation_parquet=ablation(RISING, LADDER))
    return home


def check(name: str, value: float, divergence: float, lost: int = 0) -> dict[str, Any]:
    row = {**accuracy(value), "name": name, "accuracy": value, "divergence": divergence, "loss": 0.1}
    return {**row, "gained": 0, "lost": lost, "p": 2 * 0.5**lost if lost else 1.0}


def diagnosis(*, healthy: bool = False, **compared: Any) -> dict[str, Any]:
    """What debugging the bare ranges files: one culprit and two repairs, or nothing at all.

    compared: gained, lost and p of the repair, which older ones lack.
    """
    low = 0.994 if healthy else 0.102
    site = {
        "cause": "unbalanced-channels",
        "site": "stem.conv.weight",
        "step": "",
        "text": "Ranges differ by 8 octaves.",
    }
    repaired = Recipe.load("w8a8-per-tensor-equalized").to_document()
    fix = {"label": "channels equalized", "recipe": repaired, "accuracy": accuracy(0.99), "divergence": 0.01}
    fix |= compared
    return {
        "task": TASK,
        "recipe": Recipe.load(BARE).to_document(),
        "seed": 0,
        "healthy": healthy,
        "fp32": accuracy(0.996),
        "accuracy": accuracy(low),
        "checks": [
            check("fp32", 0.996, 0.0),
            check("all sites real", 0.996, 0.0),
            check("weights only", low, 2.0, 0 if healthy else 447),
            check("activations only", 0.996, 0.02),
            check("quantized", low, 2.1, 0 if healthy else 447),
        ],
        "findings": [] if healthy else [{**site, "divergence": 0.8, "evidence": {}, "fixes": [fix]}],
        "fixes": [] if healthy else [{**fix, "seconds": 0.9}],
        "unexplained": [],
        "sites": FOUND_SITES.to_dict("records"),
    }


@pytest.fixture
def debugged(home: Path) -> Path:
    """A home in which the bare ranges have been debugged."""
    spec = {"kind": "debug", "task": TASK, "recipe": BARE, "seed": 0}
    shelve(home, spec, {"accuracy": accuracy(0.102)}, debug_json=diagnosis(), report_md="# Debugging")
    return home


def queued(home: Path) -> list[dict[str, Any]]:
    return [run.spec for run in Store(home, executor=Idle()).runs(state="queued")]


def toggle(at: AppTest, step: str) -> Any:
    return next(one for one in at.toggle if one.label == step)


@pytest.mark.usefixtures("measured")
def test_the_answer_stands_in_one_sentence_with_its_figures(opened: Open) -> None:
    at = opened("post_training", **HERE)
    said = words(at)
    assert "**equalize buys most: +89.0 points.** :gray[Scales channels" in said
    assert "The steps lead from 10.2 % with none of them to 99.6 % with all (FP32 99.6 %)." in said
    drawn = [chart.proto.alt for chart in at.get("vega_lite_chart")]
    assert len(drawn) == 2 + (BARE in profiles.load(TASK).diagnoses)  # with a stored diagnosis: the culprits too
    assert drawn[0].startswith("Floating bars")
    assert all(len(alt) > 20 for alt in drawn)
    assert "Measured on this machine" in said


@pytest.mark.parametrize(("task", "seen"), [("mobilenet-digits", True), ("resnet-digits", False)])
def test_a_network_that_needs_no_step_is_called_so_and_leads_to_its_twin_if_it_has_one(
    home: Path, opened: Open, task: str, seen: bool
) -> None:
    table = ablation([0.994, 0.994, 0.996, 0.996, 0.996], LADDER)
    spec = {"kind": "ablation", "task": task, "recipe": PRESET, "seed": 0}
    shelve(home, spec, {"accuracy": accuracy(0.996)}, ablation_parquet=table)
    at = opened("post_training", **{**HERE, "task": task})
    assert "Nothing that 500 images could show" in words(at)
    assert ("See the twin" in [link.proto.label for link in at.get("page_link")]) == seen


@pytest.mark.parametrize(("task", "form"), [("mobilenet-digits", "W3A3"), ("resnet20-cifar10", "W8A8")])
def test_the_page_opens_on_a_recipe_whose_steps_are_stored(opened: Open, task: str, form: str) -> None:
    at = opened("post_training", task=task)
    assert not at.exception
    assert f"standard-{form.lower()}-per-tensor" in set(profiles.load(task).ablation["recipe"])
    said = words(at)
    assert "weights only" in said
    assert "has not been measured step by step" not in said


def test_every_optional_step_has_a_switch_and_all_are_on(opened: Open, measured: Path) -> None:
    at = opened("post_training", **HERE)
    assert [(one.label, one.value) for one in at.toggle] == [(step, True) for step in LADDER]
    assert queued(measured) == []


def test_a_step_switched_off_shows_what_is_stored_at_once(opened: Open, measured: Path) -> None:
    at = opened("post_training", **HERE)
    toggle(at, "equalize").set_value(False).run()
    assert at.query_params["off"] == "equalize"
    assert "Without equalize: **10.0 %**" in words(at)
    assert "(p < 0.001, 500 images) against the complete recipe" in words(at)
    assert queued(measured) == []


def test_what_is_not_stored_is_measured_and_shown_when_it_is_there(opened: Open, measured: Path) -> None:
    at = opened("post_training", **HERE, off="equalize")
    toggle(at, "correct-bias").set_value(False).run()
    asked = queued(measured)
    assert [spec["kind"] for spec in asked] == ["recipe"]
    assert asked[0]["recipe"] == without(Recipe.load(PRESET), ["equalize", "correct-bias"]).to_document()
    shelve(measured, asked[0], {"accuracy": accuracy(0.555), "steps": [{"name": "fold-bn", "seconds": 0.5}]})
    at.run()
    assert "Without equalize, correct-bias: **55.5 %** (53.5–57.5 %) on 500 images, measured on this machine" in words(
        at
    )


def test_a_link_to_switched_steps_queues_nothing_by_itself(opened: Open, measured: Path) -> None:
    at = opened("post_training", **HERE, off="equalize,correct-bias")
    assert not toggle(at, "equalize").value
    assert queued(measured) == []
    at.button(key="measure-variant").click().run()
    assert len(queued(measured)) == 1


@pytest.mark.usefixtures("measured")
def test_another_recipe_leaves_the_switches_behind(opened: Open) -> None:
    at = opened("post_training", **HERE, off="equalize")
    at.button_group(key="pipeline").set_value("data-free").run()
    assert "off" not in at.query_params
    assert all(one.value for one in at.toggle)


def test_what_nobody_has_measured_is_offered_with_its_time(opened: Open, home: Path) -> None:
    at = opened("post_training", **NOWHERE)
    assert "**corrected-w4a8 has not been measured step by step on this task.**" in words(at)
    at.button(key="measure-steps").click().run()
    assert queued(home) == [{"kind": "ablation", "task": TASK, "recipe": UNKNOWN.to_document(), "seed": 0}]
    assert at.button(key="measure-steps").disabled


def test_a_run_that_failed_says_why_beside_its_button(opened: Open, home: Path) -> None:
    from qexplore.runs.records import Records

    store = Store(home, executor=Idle())
    run = store.submit({"kind": "ablation", "task": TASK, "recipe": UNKNOWN.to_document(), "seed": 0})
    Records(home).finish(run, "failed", error="The disk is full.")
    at = opened("post_training", **NOWHERE)
    assert at.error[0].value == "The disk is full."


@pytest.mark.usefixtures("debugged")
def test_the_flowchart_names_side_site_cause_and_repair(opened: Open) -> None:
    said = words(opened("post_training", **HERE))
    assert "✗ yes: −89.4 points" in said
    assert "✗ the weights" in said
    assert "✗ 1 of 5" in said
    assert "**Unbalanced channels share a grid** :gray[at `stem.conv.weight`, 0.8 nats.] Ranges differ" in said
    assert "**channels equalized**  \n+88.8 points: 99.0 %" in said


@pytest.mark.parametrize(("ranges", "told"), [("tensor", True), ("channel", False)])
def test_several_repairs_say_by_what_they_are_ordered(opened: Open, ranges: str, told: bool) -> None:
    at = opened("post_training", task="mobilenet-digits", pipeline="plain", format="W4A8", ranges=ranges)
    assert at.button(key="apply-0")
    assert ("Ordered by how far the answers still lie from FP32's" in words(at)) == told


def test_without_a_culprit_the_site_that_does_most_is_named() -> None:
    document = profiles.load("mobilenet-digits").diagnoses["w3a3-per-tensor"]
    stage = next(stage for stage in stages(document) if stage.question == "Which sites?")
    worst = max(document["sites"], key=lambda row: row["divergence"])
    share = worst["divergence"] / sum(row["divergence"] for row in document["sites"])
    assert stage.verdict == "no cause at a single one"
    assert stage.numbers.startswith(f"most: {worst['site']}, {percent(share, 0)} of what")


def test_a_repair_is_applied_with_one_click_and_measured(opened: Open, debugged: Path) -> None:
    at = opened("post_training", **HERE)
    at.button(key="apply-0").click().run()
    asked = queued(debugged)
    assert asked == [{"kind": "recipe", "task": TASK, "recipe": "w8a8-per-tensor-equalized", "seed": 0}]
    assert "**w8a8-per-tensor** with **channels equalized** instead of the picked recipe" in words(at)
    assert at.button(key="apply-0").label == "Applied"
    shelve(debugged, asked[0], {"accuracy": accuracy(0.992), "steps": []})
    at.run()
    said = words(at)
    assert "+89.0 points" in said
    assert "the 95 % intervals lie apart; not paired image by image" in said
    at.button(key="back").click().run()
    assert "instead of the picked recipe" not in words(at)


def test_what_led_to_a_repair_stays_until_the_repaired_recipe_is_debugged(home: Path, opened: Open) -> None:
    shelve(home, {"kind": "debug", "task": TASK, "recipe": PRESET, "seed": 0}, {}, debug_json=diagnosis())
    at = opened("post_training", **HERE, debug="as above")
    at.button(key="apply-0").click().run()
    assert at.button(key="apply-0").label == "Applied"
    assert f"**Before the repair** :gray[{PRESET}]" in words(at)
    repaired = {"kind": "debug", "task": TASK, "recipe": "w8a8-per-tensor-equalized", "seed": 0}
    shelve(home, repaired, {}, debug_json=diagnosis(healthy=True))
    at.run()
    assert "Before the repair" not in words(at)
    assert at.success


def test_no_difference_is_told_between_accuracies_on_other_images(opened: Open, debugged: Path) -> None:
    at = opened("post_training", **HERE)
    at.button(key="apply-0").click().run()
    shelve(debugged, queued(debugged)[0], {"accuracy": {**accuracy(0.992), "images": 10_000}, "steps": []})
    at.run()
    said = words(at)
    assert "10,000 images" in said
    assert "+89.0 points" not in said
    assert "intervals lie apart" not in said


@pytest.mark.parametrize(
    ("page", "task", "told"),
    [
        ("post_training", "resnet20-cifar10", True),
        ("budgets", "resnet20-cifar10", True),
        ("ranges", "resnet20-cifar10", True),
        ("training", "resnet20-cifar10", False),  # its cards are of all images, its curves of the calibration images
        ("sensitivity", "resnet20-cifar10", False),  # of the calibration images
        ("network", "resnet20-cifar10", False),
        ("post_training", "mobilenet-digits", False),
    ],
)
def test_where_figures_are_of_fewer_images_the_first_line_has_fp32_on_both(
    opened: Open, page: str, task: str, told: bool
) -> None:
    profile = profiles.load(task)
    fewer = f"{percent(profile.fp32_here['value'])} on the 500 that the figures are of"
    both = f"on {profile.fp32['images']:,} images, {fewer}"
    said = words(opened(page, task=task))
    assert (both in said) == told
    assert ("that the figures are of" in said) == told


def test_a_healthy_network_is_called_healthy(home: Path, opened: Open) -> None:
    spec = {"kind": "debug", "task": TASK, "recipe": BARE, "seed": 0}
    shelve(home, spec, {"accuracy": accuracy(0.994)}, debug_json=diagnosis(healthy=True))
    at = opened("post_training", **HERE)
    assert "**Healthy:** the quantized network reaches 99.4 % on 500 images" in at.success[0].value
    assert "✓ neither" in words(at)


def test_the_culprit_is_sought_in_the_recipe_that_is_shown(opened: Open, debugged: Path) -> None:
    at = opened("post_training", **HERE, debug="as above")
    at.button(key="find-culprit").click().run()
    assert queued(debugged) == [{"kind": "debug", "task": TASK, "recipe": PRESET, "seed": 0}]


@pytest.mark.parametrize(
    ("pipeline", "keeps"), [("standard", "activation-ranges (logits: cross-entropy)"), ("plain", "")]
)
def test_two_recipes_without_optional_steps_are_told_apart(opened: Open, pipeline: str, keeps: str) -> None:
    at = opened("post_training", task="mobilenet-digits", pipeline=pipeline, format="W3A3", ranges="tensor")
    said, table = words(at), profiles.load("mobilenet-digits").ablation
    assert ("is another recipe" in said) == bool(keeps)
    if keeps:
        first = table[table["recipe"] == "standard-w3a3-per-tensor"].set_index("name").loc["none", "accuracy"]
        assert f"“no optional step” above ({percent(first)}) is another recipe: it keeps {keeps}." in said
        assert at.button_group(key="debug").options == ["plain recipe", "as above"]


def test_an_address_without_a_recipe_is_told_in_place(opened: Open) -> None:
    at = opened("post_training", recipe="no recipe at all")
    assert "The recipe in the address cannot be read" in at.warning[0].value
    assert at.toggle


def test_the_runs_page_shows_the_waterfall_and_the_flowchart(opened: Open, measured: Path, debugged: Path) -> None:
    runs = {run.kind: run.id for run in Store(measured, executor=Idle()).runs()}
    at = opened("runs", run=runs["ablation"])
    assert f"ablation of {PRESET} on {TASK}" in words(at)
    assert len(at.get("vega_lite_chart")) == 1
    at = opened("runs", run=runs["debug"])
    assert f"debugging of {BARE} on {TASK}" in words(at)
    assert "✗ the weights" in words(at)
    assert "# Debugging" in words(at)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_pickers_say_what_the_recipe_does(pipeline: str, form: str, granularity: str) -> None:
    recipe = recipe_of(pipeline, form, granularity)
    assert (recipe.weights["bits"], recipe.activations["bits"]) == FORMATS[form]
    assert recipe.weights["granularity"] == granularity
    assert bool(recipe.optional) == (pipeline != "plain")
    assert ("adaround" in recipe.optional) == (pipeline == "standard")


@pytest.mark.parametrize("name", presets("post-training"))
def test_a_switched_recipe_meets_the_row_of_the_ablation_that_has_its_steps(name: str) -> None:
    recipe = Recipe.load(name)
    rows = [row for row in variants(recipe) if row.group in (BUILD_UP, WITHOUT)]
    table = ablation([0.5] * (len(recipe.optional) + 1), list(recipe.optional))
    for row in rows:
        off = tuple(step for step in recipe.optional if step not in row.recipe.optional)
        known = variant(None, Choice(recipe, recipe, off), table)  # type: ignore[arg-type]
        assert known is not None
        step = known.value["step"]
        found = next(v for v in rows if (v.group, v.step) == (known.value["group"], step))
        assert found.recipe.optional == row.recipe.optional


def test_a_preset_runs_under_its_name_and_what_was_changed_under_its_document() -> None:
    recipe = Recipe.load(PRESET)
    assert word(recipe) == PRESET
    assert word(without(recipe, ["equalize"])) == without(recipe, ["equalize"]).to_document()
    assert word(recipe.with_settings({"weights.bits": 3}))["weights"]["bits"] == 3


NAMES = st.text(min_size=1, max_size=20)


@given(NAMES, st.lists(st.sampled_from(LADDER), min_size=1, max_size=6), st.integers(2, 8))
def test_a_recipe_of_ones_own_survives_the_address(label: str, steps: list[str], bits: int) -> None:
    recipe = Recipe.from_document({"name": "mine", "weights": {"bits": bits}, "steps": steps})
    own = Own(recipe, label, Recipe.load(BARE))
    assert read_own(write_own(own)) == own
    assert set(write_own(own)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text(max_size=40))
def test_a_text_that_was_not_packed_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadLink):
        unpack(text)


@pytest.mark.parametrize(
    "text",
    [
        "A" * 9000,
        urlsafe_b64encode(zlib.compress(b" " * 10_000_000)).decode(),
        urlsafe_b64encode(zlib.compress(b"[" * 60_000)).decode(),
        pack({})[:-3],
    ],
)
def test_a_link_cannot_unfold_without_end(text: str) -> None:
    with pytest.raises(BadLink):
        unpack(text)


def test_a_gain_that_a_later_step_repeats_is_told() -> None:
    table = ablation([0.5, 0.6, 0.99], ["equalize", "adaround"])
    spare = (table["group"] == "without") & (table["step"] == "equalize")
    table.loc[spare, ["accuracy", "change", "gained", "lost", "p"]] = [0.992, 0.002, 1, 0, 1.0]
    assert replaceable(table).startswith("On the way **equalize** (+10.0 points) gained, yet leaving it out")
    assert replaceable(ablation(RISING, LADDER)) == ""


def test_a_site_that_was_clicked_leads_on(opened: Open, debugged: Path) -> None:
    at = opened("post_training", **HERE)
    assert leads_of(at)[0]["site"] == "stem.conv.weight"
    assert "see its channels before and after equalization" in words(at)
    at.session_state["debugged-site"] = {TASK: "head.out"}
    at.run()
    queries = leads_of(at)
    assert [query["site"] for query in queries] == ["head.out"] * 4
    assert "would another range serve it better?" in words(at)
    assert queries[0]["b"] == "4"  # the key that Ranges reads
    assert queries[2]["lock"] == "4:8"


def leads_of(at: AppTest) -> list[dict[str, str]]:
    """Queries of the links to Ranges, Quantizer, Budgets and Sensitivity."""
    links = [link.proto for link in at.get("page_link") if link.proto.label.startswith("Open in")]
    return [dict(parse_qsl(link.query_string)) for link in links]


def test_steps_that_cost_accuracy_are_said_to() -> None:
    assert answer(ablation([0.99, 0.5], ["equalize"])).startswith("**These steps cost 49.0 points.**")
    assert "equalize takes most: −5.0 points." in answer(ablation([0.9, 0.85, 0.99], ["equalize", "adaround"]))


def test_empty_words_in_the_address_mean_the_start(opened: Open) -> None:
    at = opened("post_training", pipeline="", format="", ranges="", debug="", off="", recipe="")
    assert [one.label for one in at.toggle] == list(Recipe.load("standard-w3a3-per-tensor").optional)
    assert ":gray[w3a3-per-tensor]" in words(at)


def test_a_step_that_chance_could_explain_is_not_said_to_buy_most() -> None:
    """The fixture's intervals are 2 points to each side."""
    said = answer(ablation([0.90, 0.93, 0.96, 0.98], ["equalize", "absorb-high-bias", "correct-bias"]))
    assert said.startswith("**Together they buy +8.0 points**, no step alone")
    assert "takes" not in answer(ablation([0.5, 0.99, 0.97], ["equalize", "correct-bias"]))


@pytest.mark.parametrize(("value", "state"), [(0.99, "sound"), (0.12, "idle")])
def test_a_repair_is_ticked_only_where_its_accuracy_is_surely_better(value: float, state: str) -> None:
    document = diagnosis()
    document["fixes"][0]["accuracy"] = accuracy(value)
    repair = stages(document)[-1]
    assert repair.state == state
    assert ("the 95 % intervals overlap, not paired; 0.01 nats left" in repair.numbers) == (state == "idle")


@pytest.mark.parametrize(
    ("gained", "lost", "p", "state", "said"),
    [
        (23, 7, 0.0052, "sound", "12.0 %: +1.8 points (23 images gained, 7 lost, p = 0.0052)"),
        (15, 6, 0.078, "idle", "(15 images gained, 6 lost: may be chance (p = 0.078)); 0.01 nats left"),
        (7, 23, 0.0052, "idle", "(7 images gained, 23 lost, p = 0.0052); 0.01 nats left"),
    ],
)
def test_a_repair_is_judged_image_by_image_where_the_diagnosis_tells_so(
    gained: int, lost: int, p: float, state: str, said: str
) -> None:
    document = diagnosis(gained=gained, lost=lost, p=p)
    document["fixes"][0]["accuracy"] = accuracy(0.12)
    repair = stages(document)[-1]
    assert repair.state == state
    assert said in repair.numbers


@pytest.mark.parametrize(("reached", "paired"), [(0.99, True), (0.992, False)])
def test_a_repair_that_is_applied_is_compared_image_by_image(
    home: Path, opened: Open, reached: float, paired: bool
) -> None:
    """Where its run has ended elsewhere than the diagnosis did, the pairs of that are not its own."""
    spec = {"kind": "debug", "task": TASK, "recipe": BARE, "seed": 0}
    shelve(home, spec, {"accuracy": accuracy(0.102)}, debug_json=diagnosis(gained=450, lost=6, p=1e-9))
    at = opened("post_training", **HERE)
    assert "(p < 0.001): 99.0 %" in words(at)
    at.button(key="apply-0").click().run()
    shelve(home, queued(home)[0], {"accuracy": accuracy(reached), "steps": []})
    said = next(str(one.proto.body) for one in at.run().get("html") if ">change<" in str(one.proto.body))
    assert ("450 images gained, 6 lost, p &lt; 0.001" in said) == paired
    assert ("not paired image by image" in said) != paired
