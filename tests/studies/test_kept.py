"""Trials kept in a file: none is measured twice, none is lost, none is taken for another."""

from __future__ import annotations

import json
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qexplore
from qexplore.cli.main import main
from qexplore.errors import QexploreError
from qexplore.network import Judged
from qexplore.recipes import Recipe
from qexplore.report import Report
from qexplore.studies.kept import Kept, Measured, key_of
from qexplore.studies.trials import Variant, carry_out, seeded
from qexplore.zoo import Task

TASK = "resnet-digits"
VARIANTS = [Variant("presets", name, Recipe.load(name)) for name in ("w8a8", "w4a8")]


@wraps(seeded)
def forbidden(name: str, seed: int) -> Task:
    raise AssertionError(f"{name} under seed {seed} is measured again")


@settings(deadline=None)  # it writes files
@given(right=st.lists(st.booleans(), min_size=1, max_size=40), loss=st.floats(0, 10))
def test_what_is_kept_comes_back_as_it_was(
    right: list[bool], loss: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("kept") / "trials.jsonl"
    events: Any = ({"event": "allocation", "bits": {"a.weight": 3}, "budget": {"weight_bits": 2.5}},)
    Kept(path).add("a key", Measured(Judged(torch.tensor(right), loss), 0.25034, events), "seeded")
    found = Kept(path).get("a key", "seeded")
    assert found is not None
    assert found.judged.correct.tolist() == right
    assert (found.judged.loss, found.seconds, found.events) == (loss, 0.25034, events)
    assert Kept(path).get("another key", "seeded") is None
    assert Kept(path).get("a key", "another draw") is None


def test_a_study_that_is_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    first = carry_out(VARIANTS[:1], (), (TASK,), 2, Report(), kept=Kept(path))
    drawn: list[int] = []

    @wraps(seeded)
    def draw(name: str, seed: int) -> Task:
        drawn.append(seed)
        return Task(name)

    told: list[Any] = []
    both = carry_out(VARIANTS, (), (TASK,), 2, Report(told.append), draw, Kept(path))
    assert drawn == [0, 1]  # of the second variant alone
    assert [event["done"] for event in told if event["event"] == "progress"] == [2, 3, 4]  # what is kept takes no time
    again = carry_out(VARIANTS, (), (TASK,), 2, Report(), forbidden, Kept(path))
    for one, other in zip([*first.done, *both.done], [*both.done[:2], *again.done]):
        assert torch.equal(one.judged.correct, other.judged.correct)
        assert one.judged.loss == other.judged.loss


def test_a_torn_last_line_is_measured_again_and_the_file_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    carry_out(VARIANTS, (), (TASK,), 1, Report(), kept=Kept(path))
    whole = path.read_text()
    path.write_text(whole[:-40])
    carry_out(VARIANTS, (), (TASK,), 1, Report(), kept=Kept(path))
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["key"] for each in told] == [json.loads(line)["key"] for line in whole.splitlines()]


@pytest.mark.parametrize("line", ["no JSON", "{}", '["a list"]', '{"key": "k", "right": "AA==", "images": 9}'])
def test_a_file_of_something_else_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(QexploreError, match=r"Line 1 of .*other\.txt"):
        Kept(path)


def test_other_weights_another_recipe_another_seed_are_other_trials() -> None:
    recipe, model = Recipe.load("w8a8"), Task(TASK).model
    key = key_of(recipe, TASK, model, 0)
    named = Recipe.from_document({**recipe.to_document(), "name": "other", "title": "Another title"})
    assert key == key_of(named, TASK, model, 0)
    others = [
        key_of(recipe, TASK, model, 1),
        key_of(Recipe.load("w4a8"), TASK, model, 0),
        key_of(recipe, "x", model, 0),
    ]
    with torch.no_grad():
        next(model.parameters()).flatten()[0] += 1e-3
    assert len({key, key_of(recipe, TASK, model, 0), *others}) == 5


def test_trials_of_another_version_are_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, measured = tmp_path / "trials.jsonl", Measured(Judged(torch.ones(3, dtype=torch.bool), 0.1), 1.0)
    Kept(path).add("key", measured, "seeded")
    assert Kept(path).get("key", "seeded") is not None
    monkeypatch.setattr(qexplore, "__version__", "99.0")
    assert Kept(path).get("key", "seeded") is None
    Kept(path).add("key", measured, "seeded")
    assert Kept(path).get("key", "seeded") is not None


@pytest.mark.parametrize(("version", "usable"), [("0.1.0", True), ("99.0", False)])
def test_lines_that_name_no_version_are_of_the_first_one_whoever_draws(
    version: str, usable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text('{"key":"k","right":"4A==","images":3,"loss":0.1,"seconds":1.0,"events":[]}\n')
    monkeypatch.setattr(qexplore, "__version__", version)
    assert (Kept(path).get("k", "seeded") is not None) == usable


def test_masks_are_not_kept(tmp_path: Path) -> None:
    judged = Judged(torch.ones(2), 0.1, torch.ones(2, 3, 2, dtype=torch.int64))
    with pytest.raises(QexploreError, match="leave --keep out"):
        Kept(tmp_path / "t").add("key", Measured(judged, 1.0), "seeded")


def test_the_command_keeps_trials_and_says_so_on_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, words = tmp_path / "trials.jsonl", ["study", "post-training", "--seeds", "1", "--task", TASK]
    words += ["--only", "without an image", "--only", "Logits at 2 bits", "--keep", str(path)]
    assert main(words) == 0
    first = capsys.readouterr().out
    kept = path.read_text()
    assert kept
    assert f"--keep {path}" in first
    assert main(words) == 0
    assert capsys.readouterr().out == first  # the seconds too: nothing was done again
    assert path.read_text() == kept
