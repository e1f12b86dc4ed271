"""Studies average over seeds, pair over images, and let every claim turn out false."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qexplore.cli.main import main
from qexplore.network import Judged
from qexplore.recipes import Recipe
from qexplore.report import Report
from qexplore.studies import STUDIES
from qexplore.studies.document import document, markdown
from qexplore.studies.post_training import (
    DATA_FREE,
    HALF,
    LADDER,
    LADDER_STEPS,
    LOGITS,
    LOGITS_ALONE,
    MEANS,
    MOST,
    ROUNDINGS,
    TASKS,
    rounding_table,
)
from qexplore.studies.statistics import mean_over_seeds, paired, rounding
from qexplore.studies.study import Study
from qexplore.studies.trials import CALIBRATION, Gauge, Reading, Trial, Trials, Variant, carry_out, seeded
from qexplore.zoo import Task

TASK = "mobilenet-digits"


def trial(table: str, name: str, right: int, loss: float = 0.1, *, seed: int = 0, images: int = 500) -> Trial:
    return Trial(table, name, TASK, seed, Judged(torch.arange(images) < right, loss), 1.0)


def trials(*done: Trial) -> Trials:
    return Trials({TASK: Judged(torch.arange(500) < 495, 0.05)}, done)


def verdicts(found: Trials, table: str) -> dict[str, bool | None]:
    claims = [claim for claim in STUDIES.get("post-training")().claims if claim.text.startswith(table)]
    return {claim.text: claim.look(found, TASK).holds for claim in claims}


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_mean_over_seeds_has_students_interval(values: list[float]) -> None:
    found = mean_over_seeds(values)
    sem = stats.sem(values)
    assert found.value == pytest.approx(sum(values) / len(values))
    assert found.half == pytest.approx(stats.t.ppf(0.975, len(values) - 1) * sem, abs=1e-12)


def test_one_seed_alone_has_no_interval() -> None:
    assert math.isnan(mean_over_seeds([0.5]).half)


def test_equal_accuracies_of_three_seeds_are_no_certainty() -> None:
    """They come in steps of one image; the spread counts as no less than that of rounding to one."""
    found = mean_over_seeds([99.4] * 3, 100 * rounding(500))
    assert found.value == pytest.approx(99.4)
    assert found.half == pytest.approx(stats.t.ppf(0.975, 2) * 0.2 / math.sqrt(12) / math.sqrt(3))
    assert mean_over_seeds([98.0, 99.0, 99.4], 100 * rounding(500)) == mean_over_seeds([98.0, 99.0, 99.4])
    assert math.isnan(mean_over_seeds([0.5], 0.1).half)


def test_a_paired_change_counts_images_and_not_seeds() -> None:
    before = [trial("t", "a", 400, seed=seed) for seed in range(5)]
    after = [trial("t", "b", 410, seed=seed) for seed in range(5)]
    many, one = paired(before, after), paired(before[:1], after[:1])
    assert many.value == pytest.approx(10 / 500)
    assert many.half == pytest.approx(one.half)  # the same images five times tell no more of other images
    assert many.low > 0


@pytest.mark.parametrize(
    ("gained", "lost"), [(0, 0), (3, 0), (4, 0), (6, 0), (7, 0), (2, 9), (3, 9), (0, 12), (20, 37)]
)
def test_a_paired_change_is_significant_where_mcnemars_exact_test_says_so_by_a_margin(gained: int, lost: int) -> None:
    before, after = torch.zeros(500, dtype=torch.bool), torch.zeros(500, dtype=torch.bool)
    before[:lost], after[lost : lost + gained] = True, True
    change = paired(*([Trial("t", "a", TASK, 0, Judged(correct, 0.1), 1.0)] for correct in (before, after)))
    p = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert (change.low > 0 or change.high < 0) == (p < 0.05)
    assert change.half > 0


@pytest.mark.parametrize(("learned", "expected"), [(490, True), (400, False)])
def test_the_gain_of_adaround_has_to_be_significant(learned: int, expected: bool) -> None:
    table = rounding_table(3, "tensor")
    rights = dict(zip(ROUNDINGS, (400, 400, learned)))
    found = verdicts(trials(*(trial(table, name, right) for name, right in rights.items())), table)
    assert [holds for text, holds in found.items() if "gain" in text] == [expected]


def test_a_gain_is_not_asked_where_nothing_is_lost() -> None:
    table = rounding_table(3, "channel")
    found = verdicts(trials(*(trial(table, name, 494) for name in ROUNDINGS)), table)
    assert [holds for text, holds in found.items() if "gain" in text] == [None]


@pytest.mark.parametrize(("gap", "expected"), [(0.009, True), (0.011, False)])
def test_the_gap_in_loss_has_to_shrink_fivefold(gap: float, expected: bool) -> None:
    table = rounding_table(4, "tensor")
    losses = dict(zip(ROUNDINGS, (0.1, 0.1, 0.05 + gap)))
    found = verdicts(trials(*(trial(table, name, 494, loss) for name, loss in losses.items())), table)
    assert [holds for text, holds in found.items() if "fivefold" in text] == [expected]


@pytest.mark.parametrize(
    ("rights", "rises", "ends"),
    [((60, 490, 493, 494), True, True), ((490, 460, 493, 494), False, True), ((60, 480, 485, 488), True, False)],
)
def test_the_ladder_may_not_fall_and_must_end_near_fp32(rights: tuple[int, ...], rises: bool, ends: bool) -> None:
    found = verdicts(trials(*(trial(LADDER, n, r) for n, r in zip(LADDER_STEPS, rights))), "W8A8 per tensor")
    assert list(found.values()) == [rises, ends]


def test_data_free_and_logits_can_fail() -> None:
    bad = trials(
        trial(DATA_FREE, "data-free-w8a8", 494), trial(DATA_FREE, "data-free-w8a8-per-tensor", 480),
        trial(LOGITS, "logits by mse", 490), trial(LOGITS, "logits by cross-entropy", 450),
    )  # fmt: skip
    assert verdicts(bad, "W8A8 without an image") == {
        "W8A8 without an image stays within 1 point of FP32.": False,
    }
    assert list(verdicts(bad, "Activations at 4 bits").values()) == [False]


@pytest.mark.parametrize(("worst", "expected"), [(0.09, True), (0.11, False)])
def test_means_have_to_agree_under_every_seed(worst: float, expected: bool) -> None:
    readings = tuple(Reading(MEANS, HALF, TASK, seed, value) for seed, value in enumerate((0.05, worst)))
    found = Trials(trials().fp32, (), (*readings, Reading(MEANS, MOST, TASK, 0, 0.2)))
    assert list(verdicts(found, MEANS).values()) == [expected]


@pytest.mark.parametrize(("losses", "expected"), [((0.10, 0.11), True), ((0.10, 0.30), False)])
def test_cross_entropy_has_to_lower_the_loss_under_the_seeds(losses: tuple[float, ...], expected: bool) -> None:
    before = [trial(LOGITS_ALONE, "logits by mse", 490, 0.2, seed=seed) for seed in range(2)]
    after = [trial(LOGITS_ALONE, "logits by cross-entropy", 490, loss, seed=s) for s, loss in enumerate(losses)]
    assert list(verdicts(trials(*before, *after), LOGITS_ALONE).values()) == [expected]


def test_every_seed_draws_its_own_calibration_images_and_none_from_the_evaluation_part() -> None:
    own, evaluation = Task(TASK).data, Task(TASK).data.tensors("evaluation")
    first, again, second = (seeded(TASK, seed).data for seed in (0, 0, 1))
    assert first.count("calibration") == CALIBRATION
    assert torch.equal(first.tensors("calibration")[0], again.tensors("calibration")[0])
    assert not torch.equal(first.tensors("calibration")[0], second.tensors("calibration")[0])
    assert torch.equal(first.tensors("evaluation")[0], evaluation[0])
    allowed = {x.numpy().tobytes() for part in ("train", "calibration") for x in own.tensors(part)[0]}
    assert {x.numpy().tobytes() for x in first.tensors("calibration")[0]} <= allowed


def test_a_study_is_carried_out_and_written_down() -> None:
    names = ("w8a8", "w4a8")
    variants = tuple(Variant("presets", name, Recipe.load(name), seeded=name == "w4a8") for name in names)
    gauge = Gauge("sizes", "images", lambda task: {"calibration": float(task.data.count("calibration"))})
    study = Study("Two presets", (TASK,), variants, (), (gauge,))
    events: list[dict[str, object]] = []
    done = carry_out(variants, study.gauges, study.tasks, 2, Report(events.append))
    assert [(t.name, t.seed) for t in done.done] == [("w8a8", 0), ("w4a8", 0), ("w4a8", 1)]
    assert events[-1]["done"] == events[-1]["total"] == 3
    page = markdown(study, done, "the command", 2)
    told = json.loads(json.dumps(document(study, done, "the command", 2)))
    eight, fp32 = next(t for t in told["trials"] if t["name"] == "w8a8"), told["fp32"][TASK]
    assert f"| w8a8 | {100 * eight['accuracy']['value']:.2f} / {eight['loss']:.3f} (" in page
    assert f"| FP32 | {100 * fp32['accuracy']['value']:.2f} / {fp32['loss']:.3f} |" in page
    assert f"| calibration | {CALIBRATION:.3f} ± 0.000 |" in page
    assert "± " in page.split("| w4a8 |")[1]


def test_no_heading_of_a_table_breaks_its_table() -> None:
    study = STUDIES.get("post-training")()
    assert not [name for name in (*(g.unit for g in study.gauges), *(v.name for v in study.variants)) if "|" in name]


def test_the_tasks_of_the_study_are_those_of_the_issue() -> None:
    assert set(TASKS) == {"resnet-digits", "mobilenet-digits", "mobilenet-digits-unbalanced"}


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["post-training", "--seeds", "0"],
        ["post-training", "--seeds", "many"],
        ["post-training", "--out", "no/such/folder/page.md"],
        ["post-training", "--out", "."],
    ],
)
def test_wrong_words_are_one_sentence_before_any_work(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", *words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
