"""What cannot be had is one sentence on every page: where a page redraws a part alone, and where a click fails."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from qexplore import ui
from qexplore.recipes import Recipe
from qexplore.runs import Store
from qexplore.runs.errors import HomeUnusable
from qexplore.runs.records import Records
from qexplore.ui.post_training.choice import Own, write_own
from qexplore.ui.training import page
from qexplore.ui.training.known import Known
from tests.executors import Idle
from tests.pages.words import words

Open = Callable[..., AppTest]
TASK = "resnet-digits"
TRAINING = {"kind": "recipe", "task": TASK, "recipe": "qat-w3a3", "seed": 7}
DIVERGED = "The training 'qat' diverged in epoch 1: take a smaller rate, for example rate=0.001."


@pytest.fixture
def shelf(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose runs nobody carries out, for the pages too."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())
    return Store(home)


def put(shelf: Store, state: str = "", error: str | None = None, **changes: object) -> str:
    """A run that works, or has ended in `state`."""
    run, records = shelf.submit({**TRAINING, **changes}), Records(shelf.root)
    records.claim(run, 1, "then")
    if state:
        records.finish(run, state, error=error)
    return run


def fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on there is no room for anything new."""

    def full(records: Records, *_: object, **__: object) -> None:
        raise HomeUnusable(records.root, "its disk is full")

    for name in ("insert", "ask_cancel", "ask_pause"):
        monkeypatch.setattr(Records, name, full)


def own(**document: Any) -> dict[str, str]:
    """An address of Post-training with this recipe of one's own."""
    recipe = Recipe.from_document({"name": "mine", "steps": ["fold-bn", "weight-ranges"], **document})
    return {"task": TASK, "recipe": write_own(Own(recipe))}


def functions() -> list[tuple[str, list[str]]]:
    """The functions of the pages, each with its decorators in words, the outermost first."""
    files = sorted(Path(ui.__file__).parent.rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    made = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return [(node.name, [ast.unparse(one) for one in node.decorator_list]) for node in made]


def test_whatever_is_redrawn_alone_tells_its_errors_itself() -> None:
    alone = [(name, told) for name, told in functions() if told and told[0].startswith("st.fragment")]
    assert len(alone) > 10
    assert [name for name, told in alone if told[1:] != ["sentence()"]] == []


def test_a_part_that_fails_is_one_sentence_and_the_rest_of_the_page_stands(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise HomeUnusable(Path("/there"), "its disk is full")

    monkeypatch.setattr("qexplore.ui.home.figure", fail)
    at = opened("home")
    assert [one.value for one in at.error] == [
        "The home of the runs, /there, cannot be used: its disk is full; set QEXPLORE\\_HOME to a folder that you can "
        "write to and that has room."
    ]
    assert "No runs yet" in words(at)


def test_a_training_that_is_deleted_elsewhere_gives_way_to_another(
    opened: Open, shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, shown = put(shelf), page._shown

    def deleted_meanwhile(task: str) -> Known | None:
        one = shown(task)
        if one is not None and one.id == run:
            Records(shelf.root).finish(run, "cancelled")
            shelf.delete(run)
        return one

    monkeypatch.setattr(page, "_shown", deleted_meanwhile)
    at = opened("training", task=TASK, run=run)
    assert not at.error
    assert f"There is no training '{run}' of this task" in at.warning[0].value
    assert at.selectbox(key="training-shown").value == "qat-w3a3"


def test_a_recipe_of_optional_steps_alone_opens_from_its_link(opened: Open) -> None:
    at = opened("post_training", **own(steps=["equalize"]))
    assert "**mine** instead of the picked recipe" in words(at)
    assert not at.error
    at.toggle(key="on-mine-equalize").set_value(False).run()
    assert not at.exception
    assert [one.value for one in at.error] == ["The recipe 'mine' has no steps but these: keep at least one."]
    assert at.button(key="back")


@pytest.mark.parametrize("hand", ["9:-1e308,1e308", "9:-3e38,3e38", "9:-9e17,9e17", "9:-5e-324,5e-324"])
def test_a_range_by_hand_of_any_width_opens_from_its_link(opened: Open, hand: str) -> None:
    at = opened("ranges", task=TASK, site="blocks.1.downsample.conv.out", by="by hand", hand=hand)
    assert not at.error
    assert "exact" not in words(at)


CLICKS: list[tuple[str, dict[str, str], str]] = [
    ("training", {"task": TASK}, "Start training"),
    ("training", {"task": TASK, "run": "working"}, "Pause"),
    ("training", {"task": TASK, "run": "working"}, "Cancel"),
    ("training", {"task": TASK, "run": "failed"}, "Start again with rate 0.001"),
    ("training", {"task": TASK, "run": "failed"}, "Start again"),
    ("runs", {}, "Cancel"),
    ("runs", {"run": "failed"}, "Resume"),
    ("network", {"task": TASK}, "Measure anew"),
    ("budgets", {"task": TASK}, "Measure as a run"),
    ("post_training", own(), "Measure each step"),
    ("post_training", {"task": "mobilenet-digits"}, "Apply"),
]


@pytest.mark.parametrize(("name", "query", "label"), CLICKS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_click_that_fails_is_one_sentence(
    opened: Open, shelf: Store, monkeypatch: pytest.MonkeyPatch, name: str, query: dict[str, str], label: str
) -> None:
    known = {"failed": put(shelf, "failed", DIVERGED), "working": put(shelf)}
    at = opened(name, **{key: known.get(text, text) for key, text in query.items()})
    fill(monkeypatch)
    next(button for button in at.button if button.label == label and not button.disabled).click().run()
    assert not at.exception, at.exception
    assert any("its disk is full" in toast.value for toast in at.toast)


def test_a_switch_whose_measurement_cannot_be_queued_is_one_sentence(
    opened: Open, shelf: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = opened("post_training", **own(steps=["fold-bn", "weight-ranges", "equalize", "correct-bias"]))
    fill(monkeypatch)
    at.toggle(key="on-mine-equalize").set_value(False).run()
    assert not at.exception, at.exception
    assert any("its disk is full" in toast.value for toast in at.toast)
