"""How numbers and tables read in a terminal, and how key=value words are taken apart."""

from __future__ import annotations

import pytest

from qexplore.cli import ablate, debug, run
from qexplore.cli.lines import accuracy, table
from qexplore.debugging.report import markdown
from qexplore.errors import QexploreError
from qexplore.recipes.pairs import pairs, words_of


def test_an_accuracy_shows_its_interval_and_images():
    document = {"value": 0.974, "low": 0.9561, "high": 0.9847, "images": 500}
    assert accuracy(document) == "97.4 % (95.6–98.5, 500 images)"


def test_a_mean_iou_is_called_so():
    document = {"value": 0.974, "low": 0.9561, "high": 0.9847, "images": 500, "metric": "miou"}
    assert accuracy(document) == "97.4 % mean IoU (95.6–98.5, 500 images)"


MASKS = {"value": 0.8, "low": 0.7, "high": 0.9, "images": 20, "metric": "miou"}
STEP = {"name": "fp32", "accuracy": 0.8, "seconds": 0.0, "metric": "miou"}
ROW = {**STEP, "group": "reference", "change": 0.0, "gained": 15, "lost": 5, "p": 0.04, "complete": False}


def test_a_run_on_masks_heads_its_steps_with_mean_iou():
    said = run.text({"fp32": MASKS, "accuracy": MASKS, "steps": [STEP], "sites": []})
    assert "mean IoU  seconds" in said
    assert "accuracy" not in said


def test_an_ablation_on_masks_names_its_measure_and_its_test():
    said = ablate.text({"fp32": MASKS, "accuracy": MASKS, "rows": [ROW]})
    assert "mean IoU  points" in said
    assert "lost (images with more or fewer pixels right) and p (Wilcoxon's signed-rank test)" in said
    assert "accuracy" not in said


def test_a_diagnosis_on_masks_tells_mean_ious():
    checks = [{**STEP, "low": 0.7, "high": 0.9, "images": 20, "gained": 0, "lost": 0, "p": 1.0, "divergence": 0.0}]
    recipe = {"name": "w8a8"}
    document = {"task": "mine", "recipe": recipe, "seed": 0, "fp32": MASKS, "accuracy": MASKS, "healthy": True}
    document |= {"checks": checks, "findings": [], "fixes": [], "unexplained": [], "sites": []}
    for said in (debug.text(document), markdown(document)):
        assert "Healthy: mean IoU 80.0 % (FP32 80.0 %)" in said
        assert "accuracy" not in said


def test_numbers_stand_flush_right_and_names_left():
    assert table(("site", "bits"), [("a", 2), ("long", 16)]) == "site  bits\na        2\nlong    16"
    assert table(("site", "bits"), []) == "site  bits"


def test_pairs_keep_later_equals_signs():
    assert pairs(["weights.bits=4", "name=a=b"], "--set") == {"weights.bits": "4", "name": "a=b"}


@pytest.mark.parametrize("words", [["bits"], ["=4"], ["bits="], ["a=1", "a=2"]])
def test_what_is_no_pair_is_refused(words):
    with pytest.raises(QexploreError, match="--set"):
        pairs(words, "--set")


def test_a_line_is_taken_apart_as_a_shell_does_it():
    assert words_of('a.b=4 "sites.input.range=[0, 1]"') == ["a.b=4", "sites.input.range=[0, 1]"]
    with pytest.raises(QexploreError, match="No closing quotation"):
        words_of("a='4")
