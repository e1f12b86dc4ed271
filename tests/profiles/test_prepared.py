"""The warm bench's handler: an allocation in, a measured accuracy out, and one sentence for a bad question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.network import evaluate, judge
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.runs import prepared
from qexplore.zoo import own
from tests.zoo.own_parts import factory, network, pictures

TASK = "resnet-digits"


@pytest.fixture(scope="module")
def sites() -> dict[str, int]:
    return dict.fromkeys(prepare(qx.Task(TASK), qx.Recipe.load("w8a8")).bits, 8)


def test_without_bits_it_measures_the_recipe() -> None:
    found, run = prepared.answer({"task": TASK}), qx.run(TASK, "w8a8")
    assert found["accuracy"] == run.accuracy.to_document()
    assert found["fp32"] == run.fp32_accuracy.to_document()
    assert found["seconds"] > 0


def test_a_recipe_is_checked_without_being_carried_out() -> None:
    recipe = qx.Recipe.load("qat-w3a3")
    assert prepared.answer({"check": recipe.with_settings({"qat.distill": 0.5}).to_document()}) == {}
    for setting, said in ({"qat.distil": 0.5}, "did you mean 'distill'"), ({"qat.ema": 2}, "'ema'"):
        with pytest.raises(QexploreError, match=said):
            prepared.answer({"check": recipe.with_settings(setting).to_document()})


def test_bits_are_measured_on_top_of_the_recipe_and_forgotten(sites: dict[str, int]) -> None:
    first = prepared.answer({"task": TASK})
    low = prepared.answer({"task": TASK, "bits": dict.fromkeys(sites, 2)})
    assert low["accuracy"]["value"] < first["accuracy"]["value"] - 0.05
    assert prepared.answer({"task": TASK, "bits": sites})["accuracy"] == first["accuracy"]
    assert prepared.answer({"task": TASK})["accuracy"] == first["accuracy"]


def test_the_real_network_is_judged_once_for_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    monkeypatch.setattr(prepared, "evaluate", lambda *given: judged.append(given) or evaluate(*given))
    found = [prepared.answer({"task": TASK, "images": 70, "bits": {"input": bits}}) for bits in (2, 3)]
    assert len(judged) == 1
    assert found[0]["fp32"] == found[1]["fp32"]


def test_preparing_and_measuring_tell_that_they_go_on() -> None:
    told: list[dict[str, Any]] = []
    variants = {"low": {"stem.conv.weight": {"bits": 2}}}
    seed = 1234  # of no other test: the network is not prepared yet
    prepared.answer({"task": TASK, "seed": seed, "variants": variants}, Report(told.append))
    texts = [event["text"] for event in told if event["event"] == "progress"]
    assert {"calibrating", "ranges of the weights", "evaluating"} <= set(texts)
    batches = texts.count("evaluating")
    told.clear()
    prepared.answer({"task": TASK, "seed": seed}, Report(told.append))
    texts = [event["text"] for event in told if event["event"] == "progress"]
    assert set(texts) == {"evaluating"}
    assert texts.count("evaluating") == batches / 3  # before, the real network and the variant were judged as well


def test_an_answer_that_nobody_waited_for_is_there_when_it_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    monkeypatch.setattr(prepared, "judge", lambda *given: judged.append(given) or judge(*given))
    question = {"task": TASK, "images": 70, "bits": {"stem.conv.weight": 3}}
    assert prepared.answer(question) == prepared.answer(dict(reversed(question.items())))
    assert len(judged) == 1
    prepared.answer(question | {"images": 71})
    prepared.answer(question)
    assert len(judged) == 3  # the last answer alone is kept


def test_one_site_alone_is_what_the_network_gives(sites: dict[str, int]) -> None:
    task, site = qx.Task(TASK), list(sites)[3]
    network = prepare(task, qx.Recipe.load("w8a8"))
    with network.using({site: 2}):
        want = evaluate(network, task.data.batches("evaluation", limit=200))
    found = prepared.answer({"task": TASK, "bits": {site: 2}, "images": 200})
    assert found["accuracy"] == want.to_document()
    assert found["fp32"]["images"] == 200


def test_none_makes_a_site_real(sites: dict[str, int]) -> None:
    found = prepared.answer({"task": TASK, "bits": dict.fromkeys(sites), "images": 300})
    assert found["accuracy"] == found["fp32"]


def test_a_range_by_hand_counts_for_one_question(sites: dict[str, int]) -> None:
    first = prepared.answer({"task": TASK})
    narrow = prepared.answer({"task": TASK, "ranges": {"stem.conv.out": [0, 0.01]}})
    assert narrow["accuracy"]["value"] < first["accuracy"]["value"] - 0.1
    assert prepared.answer({"task": TASK})["accuracy"] == first["accuracy"]


def test_a_task_that_was_added_again_with_other_weights_is_measured_with_these(tmp_path: Path) -> None:
    source, folder, found = factory(tmp_path), pictures(tmp_path / "photos"), []
    for favourite in (0, 1):  # the class that the network answers, whatever it sees
        weights = network().state_dict()
        weights["4.weight"], weights["4.bias"] = 0 * weights["4.weight"], torch.eye(2)[favourite]
        save_file(weights, tmp_path / "w.safetensors")
        own.add("mine", model=source, weights=tmp_path / "w.safetensors", data=str(folder), local=True)
        found.append(prepared.answer({"task": "mine", "images": 1})["accuracy"]["value"])
        own.remove("mine")
    assert sorted(found) == [0, 1]


def test_variants_are_runs_of_the_recipe_with_these_sites_paired_with_the_answer() -> None:
    site = "blocks.0.second.conv.out"
    tries = {"naive": {site: {"method": "min-max"}}, "by hand": {site: {"range": [-2.0, 1.0]}}}
    found = prepared.answer({"task": TASK, "bits": {site: 2}, "variants": tries})
    for label, sites in tries.items():
        own = {**sites[site], "bits": 2}
        run = qx.run(TASK, qx.Recipe.from_document(qx.Recipe.load("w8a8").to_document() | {"sites": {site: own}}))
        variant = found["variants"][label]
        assert variant["accuracy"] == run.accuracy.to_document()
        assert variant["change"] == pytest.approx(run.accuracy.value - found["accuracy"]["value"])
        assert variant["gained"] - variant["lost"] == round(500 * variant["change"])
    assert found["variants"]["naive"]["p"] < 1e-6
    assert prepared.answer({"task": TASK})["accuracy"] == qx.run(TASK, "w8a8").accuracy.to_document()


def test_a_learned_rounding_outlives_the_ranges_that_were_tried() -> None:
    recipe = qx.Recipe.load("w4a8-adaround").with_settings({"weights.bits": 2, "adaround.iterations": 20}).to_document()
    first = prepared.answer({"task": TASK, "recipe": recipe})["accuracy"]
    tries = {"naive": {f"blocks.{i}.first.conv.weight": {"method": "min-max"} for i in range(3)}}
    prepared.answer({"task": TASK, "recipe": recipe, "variants": tries})
    assert prepared.answer({"task": TASK, "recipe": recipe})["accuracy"] == first


def test_a_variant_leaves_nothing_behind_for_the_next_one() -> None:
    recipe = qx.Recipe.load("w4a8-adaround").with_settings({"weights.bits": 2, "adaround.iterations": 20}).to_document()
    first, second = "blocks.0.first.conv.weight", "blocks.1.first.conv.weight"
    tries = {"first": {first: {"method": "min-max"}}, "second": {second: {"method": "min-max"}}}
    alone = prepared.answer({"task": TASK, "recipe": recipe, "variants": {"second": tries["second"]}})
    both = prepared.answer({"task": TASK, "recipe": recipe, "variants": tries})
    names = ("accuracy", "gained", "lost")
    assert [both["variants"]["second"][n] for n in names] == [alone["variants"]["second"][n] for n in names]


def test_the_bits_of_a_variant_count() -> None:
    site = "blocks.0.second.conv.out"
    own, plain = {"range": [-2.0, 1.0], "bits": 2}, {"range": [-2.0, 1.0]}
    found = prepared.answer({"task": TASK, "variants": {"own": {site: own}, "plain": {site: plain}}})["variants"]
    asked = prepared.answer({"task": TASK, "bits": {site: 2}, "variants": {"plain": {site: plain}}})["variants"]
    assert found["own"]["accuracy"] == asked["plain"]["accuracy"] != found["plain"]["accuracy"]


def test_the_stored_range_tried_as_a_variant_changes_nothing() -> None:
    tries = {"stored": {"stem.conv.weight": {"method": "mse"}}}
    found = prepared.answer({"task": TASK, "bits": {"stem.conv.weight": 3}, "variants": tries})["variants"]["stored"]
    assert (found["gained"], found["lost"], found["p"]) == (0, 0, 1.0)


def test_more_images_than_there_are_is_all_of_them() -> None:
    assert prepared.answer({"task": TASK, "images": 10**9})["accuracy"]["images"] == 500


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "names no task"),
    ({"task": "resnet-digit"}, "did you mean 'resnet-digits'"),
    ({"task": None}, "'None'"),
    ({"recipe": "w8a9"}, "did you mean 'w8a8'"),
    ({"recipe": None}, "There is no preset 'None'"),
    ({"recipe": {"steps": ["fold"]}}, "There is no step 'fold'"),
    ({"seed": "one"}, "seed is a whole number"),
    ({"seed": 1.5}, "seed is a whole number"),
    ({"images": 0}, "number of images"),
    ({"images": -5}, "number of images"),
    ({"images": "all"}, "number of images"),
    ({"images": True}, "number of images"),
    ({"bits": {"stem": 4}}, "There is no site 'stem'"),
    ({"bits": {"stem.conv.weight": 0}}, "1 to 16 bits"),
    ({"bits": {"stem.conv.weight": "eight"}}, "1 to 16 bits"),
    ({"bits": {"stem.conv.weight": 4.0}}, "1 to 16 bits"),
    ({"bits": [4, 4]}, "bits of a question are given by site"),
    ({"bits": 4}, "bits of a question are given by site"),
    ({"ranges": [0, 1]}, "ranges of a question are given by site"),
    ({"ranges": {"stem": [0, 1]}}, "There is no site 'stem'"),
    ({"ranges": {"stem.conv.out": 3}}, "two numbers"),
    ({"ranges": {"stem.conv.out": [0]}}, "two numbers"),
    ({"ranges": {"stem.conv.out": ["a", "b"]}}, "two numbers"),
    ({"ranges": {"stem.conv.out": [1, 1]}}, "lo below hi"),
    ({"ranges": {"stem.conv.out": [float("nan"), 1]}}, "lo below hi"),
    ({"ranges": {"stem.conv.out": [0, float("inf")]}}, "finite"),
    ({"variants": [1]}, "variants of a question are given by label"),
    ({"variants": {"a": {"stem": {"method": "mse"}}}}, "There is no site 'stem'"),
    ({"variants": {"a": {"stem.conv.out": {"method": "mean"}}}}, "range estimator 'mean'"),
    ({"variants": {"a": {"stem.conv.out": {"range": [1, 1]}}}}, "lo below hi"),
    ({"variants": {"a": {"stem.conv.out": {"method": "cross-entropy"}}}}, "logits"),
    ({"variants": {"a": 3}}, "key 'sites'"),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_a_bad_question_is_answered_in_a_sentence_and_does_no_harm(change: dict[str, Any], says: str) -> None:
    request = {"task": TASK, **change} if change else {}
    with pytest.raises(QexploreError, match=says) as error:
        prepared.answer(request)
    assert "\n" not in str(error.value)
    assert prepared.answer({"task": TASK, "images": 50})["accuracy"]["value"] > 0.9
