"""The study of training: identical schedules, budgets counted in whole numbers, claims that can turn out false."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from qexplore.allocate.budget import whole
from qexplore.cli.main import main
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Judged, Network
from qexplore.qat import qbitopt
from qexplore.qat.quantizers import Quantizer
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import check
from qexplore.report import Report
from qexplore.studies import STUDIES
from qexplore.studies.document import markdown
from qexplore.studies.study import Study
from qexplore.studies.training_budgets import allocations, spent
from qexplore.studies.training_claims import (
    ANSWERS,
    AVERAGES,
    ONCE,
    PRESET,
    PRUNED,
    QBITOPT,
    RANDOM,
    SAME,
    at,
    mixed,
    uniform,
)
from qexplore.studies.trials import NotMeasured, Trial, Trials, Variant, carry_out
from qexplore.zoo import Task

TASK = "resnet-digits"
SITES = [
    {"site": "a.weight", "kind": "weight", "numel": 100},
    {"site": "b.weight", "kind": "weight", "numel": 3},
    {"site": "a.out", "kind": "activation", "numel": 50},
]


def trial(table: str, name: str, right: int, loss: float = 0.1, *, seed: int = 0, events: Any = ()) -> Trial:
    return Trial(table, name, TASK, seed, Judged(torch.arange(500) < right, loss), 1.0, tuple(events))


def trials(*done: Trial) -> Trials:
    return Trials({TASK: Judged(torch.arange(500) < 495, 0.05)}, done)


def holds(found: Trials, *words: str) -> bool | None:
    """The verdict of the one claim whose text has all `words` in it."""
    claims = [claim for claim in STUDIES.get("training")().claims if all(word in claim.text for word in words)]
    (claim,) = claims
    (verdict,) = claim.verdicts(found, [TASK])
    return verdict.holds


def told(*bits: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Events of a training that allocates the bits of a.weight, b.weight and a.out."""
    budget = {"weight_bits": 2.5, "activation_bits": 3.0}
    names = [site["site"] for site in SITES]
    allocated = [{"event": "allocation", "budget": budget, "bits": dict(zip(names, each))} for each in bits]
    return [{"event": "training-started", "sites": SITES}, *allocated]


def test_every_training_of_the_study_has_the_same_schedule() -> None:
    schedules = set()
    for variant in STUDIES.get("training")({"epochs": 3}).variants:
        check(variant.recipe)
        for step in () if variant.table == PRUNED else variant.recipe.steps:
            if step.name in ("qat", "qbitopt"):
                named = {key: step.settings[key] for key in ("epochs", "batch", "rate", "shift")}
                schedules.add(json.dumps(named, sort_keys=True))
    assert schedules == {json.dumps({"batch": 64, "epochs": 3, "rate": 0.02, "shift": 1})}


def test_the_study_asks_for_every_baseline_at_every_average() -> None:
    study = STUDIES.get("training")()
    for average in AVERAGES:
        names = {variant.name for variant in study.variants if variant.table == mixed(average)}
        assert names == {uniform(average), QBITOPT, ANSWERS, RANDOM, *ONCE}
        budgets = [
            step.settings
            for variant in study.variants
            if variant.table == mixed(average)
            for step in variant.recipe.steps
            if step.name in ("qbitopt", "allocate-bits")
        ]
        assert [(b["weight_bits"], b["activation_bits"]) for b in budgets] == [(average, average)] * 5


def test_budgets_are_counted_in_whole_numbers() -> None:
    found = trial("t", "n", 490, events=told((2, 8, 3), (2, 2, 2)))
    assert allocations(found) == 2
    # 2.5 bits of 103 elements are 257.5, so 257 may be spent.
    assert [(s.kind, s.spent, s.cap) for s in spent(found)] == [
        ("weight", 224, 257),
        ("activation", 150, 150),
        ("weight", 206, 257),
        ("activation", 100, 150),
    ]


def test_the_cap_is_that_by_which_bits_are_allocated() -> None:
    """A cost that was printed and typed back admits the allocation that it came from: 33 / 10 is 3.3 as floats go."""
    sites = [{"site": "a.weight", "kind": "weight", "numel": 10}]
    event = {"event": "allocation", "budget": {"weight_bits": 3.3}, "bits": {"a.weight": 3}}
    found = trial("t", "n", 490, events=[{"event": "training-started", "sites": sites}, event])
    assert [each.cap for each in spent(found)] == [whole(3.3, 10, 160)] == [33]


@pytest.mark.parametrize(("bits", "expected"), [((2, 8, 3), True), ((3, 2, 3), False)])
def test_the_network_that_is_handed_over_has_to_meet_the_budget_too(bits: tuple[int, int, int], expected: bool) -> None:
    end = {"event": "handed-over", "bits": dict(zip([site["site"] for site in SITES], bits))}
    found = trials(trial(mixed(2.5), QBITOPT, 490, events=[*told((2, 2, 2)), end]))
    assert holds(found, mixed(2.5), "meets the budget") == expected


def test_a_budget_is_not_met_by_bits_that_no_quantizer_took_on(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = {"epochs": 1, "batch": 256, "every": 3}
    steps = ["fold-bn", "weight-ranges", "activation-ranges"]
    limits = {"weight_bits": 2.5, "activation_bits": 2.5}
    recipe = Recipe.from_document(
        {"name": "v", "weights": {"bits": 4}, "steps": [*steps, {"qbitopt": {**limits, **schedule}}]}
    )
    monkeypatch.setattr(qbitopt, "first_allocation", idle(qbitopt.first_allocation))
    monkeypatch.setattr(Quantizer, "set_bits", lambda *_: None)
    variant = Variant(mixed(2.5), QBITOPT, recipe)
    found = carry_out([variant], (), (TASK,), 1, Report(), STUDIES.get("training")().draw)
    assert found.done[0].events[-1]["event"] == "handed-over"
    assert not any(each.met for each in spent(found.done[0]))
    assert holds(found, mixed(2.5), "meets the budget") is False


def idle(allocating: Any) -> Any:
    """An allocation after which the network keeps the bits that it had."""

    def first(network: Network, *given: Any) -> Any:
        before = network.bits
        start = allocating(network, *given)
        network.set_bits(before)
        return start

    return first


@pytest.mark.parametrize(("bits", "expected"), [((2, 8, 3), True), ((3, 2, 3), False), ((2, 2, 4), False)])
def test_one_broken_budget_in_one_training_is_enough(bits: tuple[int, int, int], expected: bool) -> None:
    fine = trial(mixed(2.5), QBITOPT, 490, events=told((2, 2, 2)))
    other = trial(mixed(2.5), QBITOPT, 490, events=told((2, 2, 2), bits))
    assert holds(trials(fine, other), mixed(2.5), "meets the budget") == expected


def test_a_training_that_never_allocates_has_not_met_its_budget() -> None:
    assert holds(trials(trial(mixed(3), QBITOPT, 490)), "3 bits on", "meets the budget") is False


@pytest.mark.parametrize(
    ("rights", "expected"), [((480, 481, 482), True), ((480, 490, 470), False), ((470, 471, 472), False)]
)
def test_a_gain_has_to_stand_out_from_the_seeds(rights: tuple[int, ...], expected: bool) -> None:
    mine = [trial(mixed(3), QBITOPT, right, seed=seed) for seed, right in enumerate(rights)]
    others = [trial(mixed(3), uniform(3), 475 + seed, seed=seed) for seed in range(3)]
    assert holds(trials(*mine, *others), "3 bits on", "outside", "in accuracy") == expected


@pytest.mark.parametrize("name", [QBITOPT, ANSWERS])
def test_each_way_of_qbitopt_is_compared_by_its_own_trials(name: str) -> None:
    rows = {QBITOPT: 470, ANSWERS: 470, uniform(4): 475} | {name: 480}
    found = trials(*(trial(mixed(4), row, right, seed=seed) for row, right in rows.items() for seed in range(3)))
    for row in (QBITOPT, ANSWERS):
        assert holds(found, "4 bits on", f": {row} is at least") == (row == name)


@pytest.mark.parametrize(("loss", "expected"), [(0.05, True), (0.2, False)])
def test_less_cross_entropy_is_a_gain(loss: float, expected: bool) -> None:
    mine = [trial(mixed(3), QBITOPT, 490, loss + 0.001 * seed, seed=seed) for seed in range(3)]
    others = [
        trial(mixed(3), name, 490, 0.1 + 0.0011 * seed, seed=seed) for name in (RANDOM, *ONCE) for seed in range(3)
    ]
    found = trials(*mine, *others)
    assert holds(found, "3 bits on", RANDOM) == expected
    assert holds(found, "3 bits on", ONCE[0], "cross-entropy") == expected


def test_within_noise_a_loss_of_accuracy_is_no_loss() -> None:
    mine = [trial(mixed(4), QBITOPT, right, seed=seed) for seed, right in enumerate((480, 490, 485))]
    others = [trial(mixed(4), ONCE[0], 487, seed=seed) for seed in range(3)]
    far = [trial(mixed(4), ONCE[1], 499, seed=seed) for seed in range(3)]
    assert holds(trials(*mine, *others), "4 bits on", ONCE[0], "in accuracy") is True
    assert holds(trials(*mine, *far), "4 bits on", ONCE[1], "in accuracy") is False


@pytest.mark.parametrize(("right", "near", "better"), [(493, True, True), (480, False, True), (470, False, False)])
def test_training_has_to_end_near_fp32_and_above_what_it_starts_from(right: int, near: bool, better: bool) -> None:
    found = trials(trial(SAME, at("PTQ", 4), 470), *(trial(SAME, at("QAT", 4), right, seed=seed) for seed in range(3)))
    assert holds(found, at("QAT", 4), "within") == near
    assert holds(found, at("QAT", 4), "strictly") == better


@pytest.mark.parametrize(("right", "expected"), [(499, True), (493, True), (470, False)])
def test_a_pruned_network_is_as_good_as_fp32_within_noise(right: int, expected: bool) -> None:
    assert holds(trials(trial(PRUNED, PRESET, right)), PRESET) == expected


def test_one_image_more_under_every_seed_is_no_gain_outside_the_noise() -> None:
    """Differences of accuracies that are all alike: they come in steps of one image, and that is their least spread."""
    mine, others = (
        [trial(mixed(3), n, right, seed=s) for s in range(3)] for n, right in ((QBITOPT, 491), (uniform(3), 490))
    )
    assert holds(trials(*mine, *others), "3 bits on", "outside", "in accuracy") is False
    far = [trial(mixed(3), QBITOPT, 495, seed=seed) for seed in range(3)]
    assert holds(trials(*far, *others), "3 bits on", "outside", "in accuracy") is True


@pytest.mark.parametrize(("study", "said"), [("training", "within 2.5"), ("sensitivity", "(2 for 2.5)")])
def test_a_claim_says_how_few_bits_its_rival_has(study: str, said: str) -> None:
    texts = [claim.text for claim in STUDIES.get(study)().claims if "bits everywhere" in claim.text]
    rivals = [text for text in texts if study == "sensitivity" or text.startswith("2.5")]
    assert rivals
    assert all("the most that uniform bits can have" in text and said in text for text in rivals)


def test_a_difference_that_is_none_is_no_gain_and_no_loss() -> None:
    rights = (494, 495, 496)
    mine = [trial(mixed(3), QBITOPT, right, seed=seed) for seed, right in enumerate(rights)]
    others = [trial(mixed(3), uniform(3), right, seed=seed) for seed, right in enumerate(reversed(rights))]
    assert holds(trials(*mine, *others), "3 bits on", ": QBitOpt is at least") is True
    assert holds(trials(*mine, *others), "3 bits on", "outside", "in accuracy") is False


@pytest.mark.parametrize(("rights", "expected"), [((300, 310), True), ((300, 240), False)])
def test_a_training_that_fails_under_one_seed_does_not_train(rights: tuple[int, ...], expected: bool) -> None:
    after = [trial(SAME, at("QAT", 2), right, seed=seed) for seed, right in enumerate(rights)]
    assert holds(trials(trial(SAME, at("PTQ", 2), 100), *after), "trains") == expected


def test_what_was_not_measured_is_left_out_of_the_page() -> None:
    study = STUDIES.get("training")().only(["ways to train"])
    found = trials(*(trial(variant.table, variant.name, 400) for variant in study.variants))
    page = markdown(Study(study.title, (TASK,), study.variants, study.claims, extras=study.extras), found, "c", 1)
    assert "Ways to train" in page
    assert "Claims" not in page
    with pytest.raises(NotMeasured, match="QAT W4A4 was not measured"):
        found.of(SAME, at("QAT", 4), TASK)


def test_some_rows_of_some_tables_are_taken_and_claims_that_need_others_left_out() -> None:
    study = STUDIES.get("training")().only(["3 bits on"]).rows(["qbit", "lsq"])
    assert [(v.table, v.name) for v in study.variants] == [
        (mixed(3), uniform(3)),
        (mixed(3), QBITOPT),
        (mixed(3), ANSWERS),
    ]
    found = trials(*(trial(variant.table, variant.name, 400) for variant in study.variants))
    page = markdown(replace(study, tasks=(TASK,)), found, "c", 1)
    assert f"QBitOpt is at least as accurate as {uniform(3)}" in page
    assert f"{ANSWERS} is at least as accurate as {uniform(3)}" in page
    assert "no worse than bits allocated once" not in page


def test_a_whole_name_takes_its_row_alone() -> None:
    study = STUDIES.get("training")().only(["3 bits on"]).rows(["qbitopt"])
    assert [v.name for v in study.variants] == [QBITOPT]


def test_a_recipe_in_two_tables_is_carried_out_once() -> None:
    recipe = Recipe.load("w8a8")
    draws: list[tuple[str, int]] = []

    def draw(name: str, seed: int) -> Task:
        draws.append((name, seed))
        return Task(name)

    variants = [Variant("one", "a", recipe), Variant("two", "b", recipe), Variant("two", "c", Recipe.load("w4a8"))]
    found = carry_out(variants, (), (TASK,), 2, Report(), draw)
    assert draws == [(TASK, 0), (TASK, 1)] * 2
    assert [(t.table, t.name, t.seed) for t in found.done[:4]] == [
        ("one", "a", 0),
        ("one", "a", 1),
        ("two", "b", 0),
        ("two", "b", 1),
    ]
    assert found.done[0].judged is found.done[2].judged


def test_a_small_study_of_training_is_carried_out_and_written_down() -> None:
    study = STUDIES.get("training")({"epochs": 1, "batch": 256})
    variants = tuple(v for v in study.variants if v.table == mixed(2.5) and v.name in (QBITOPT, RANDOM))
    found = carry_out(variants, (), (TASK,), 1, Report(), study.draw)
    qbitopt, drawn = found.done
    assert allocations(qbitopt) > allocations(drawn) == 1
    assert all(each.met for each in (*spent(qbitopt), *spent(drawn)))
    page = markdown(
        Study(study.title, (TASK,), variants, study.claims, extras=study.extras, how=study.how), found, "c", 1
    )
    assert f"| {QBITOPT}; {mixed(2.5)} | {allocations(qbitopt)} a training: weights 2." in page
    assert "epochs 1, batch 256" in page
    assert "QBitOpt meets the budget at every allocation, in whole numbers.**\n  - resnet-digits: holds" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["training", "--set", "epoch=3"], "did you mean 'epochs'"),
        (["training", "--set", "epochs=many"], "whole number"),
        (["training", "--only", "nothing of the kind"], "Ways to train"),
        (["training", "--only", "3 bits on", "--row", "PTQ"], "QBitOpt; QBitOpt by the answers; allocated once by FIT"),
        (["training", "--task", "resnet-digit"], "did you mean 'resnet-digits'"),
        (["post-training", "--set", "epochs=3"], "trains nothing"),
    ],
)
def test_wrong_words_are_told_before_any_training(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", *words]) in (1, 2)
    assert said in capsys.readouterr().err


def test_settings_that_do_not_exist_are_told_when_the_study_is_made() -> None:
    with pytest.raises((UnknownName, QexploreError)):
        STUDIES.get("training")({"epoch": 3})
