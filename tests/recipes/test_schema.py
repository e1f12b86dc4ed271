"""Recipes are read as they stand, or refused in one sentence."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.recipes import BadRecipe, Recipe, presets
from qexplore.recipes.carry_out import check

GOOD: dict[str, Any] = {
    "name": "mine",
    "weights": {"bits": 4},
    "steps": ["fold-bn", {"weight-ranges": {"method": "mse"}}],
}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def sentence(error: pytest.ExceptionInfo[QexploreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 600
    return text


@pytest.mark.parametrize("name", presets())
def test_presets_are_sound_and_survive_being_written_out(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name)
    check(recipe)
    assert recipe.name == name
    assert recipe.title
    assert Recipe.load(json.loads(json.dumps(recipe.to_document()))) == recipe
    assert Recipe.load(written(tmp_path, yaml.safe_dump(recipe.to_document()))) == recipe
    assert Recipe.load(recipe) is recipe


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"step": []}, "There is no key of the recipe called 'step'.*'steps'"),
        ({"name": "x" * 201}, "name of the recipe has 201 letters: shorten it to 200 at most"),
        ({"weights": {"bit": 8}}, r"'bit'.*did you mean 'bits'"),
        ({"weights": 8}, "holds settings such as bits: 8; not 8"),
        ({"weights": [8]}, "holds settings"),
        ({"weights": {"bits": {"a": 1}}}, "'bits' is a number, a word"),
        ({"weights": {"bits": datetime.date(2020, 1, 1)}}, "'bits' is a number, a word"),
        ({"steps": None}, "no steps"),
        ({"steps": []}, "no steps"),
        ({"steps": "fold-bn"}, "no steps"),
        ({"steps": {"fold-bn": {}}}, "no steps"),
        ({"steps": [3]}, "a name.*not 3"),
        ({"steps": [None]}, "a name.*not None"),
        ({"steps": [["fold-bn"]]}, "a name"),
        ({"steps": [{"fold-bn": {}, "equalize": {}}]}, "a name"),
        ({"steps": [{"equalize": 20}]}, "a name"),
        ({"steps": [{"equalize": {"sweeps": {"many": 1}}}]}, "'sweeps' is a number, a word"),
    ],
)
def test_a_document_that_is_no_recipe_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(QexploreError, match=says) as error:
        Recipe.from_document({**GOOD, **change})
    sentence(error)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": {"bits": "eight"}}, "1 to 16 bits.*'eight'"),
        ({"weights": {"bits": 17}}, "1 to 16 bits"),
        ({"weights": {"bits": True}}, "1 to 16 bits"),
        ({"weights": {"bits": None}}, "1 to 16 bits"),
        ({"weights": {"symmetric": "maybe"}}, "'symmetric'.*true or false"),
        ({"weights": {"power_of_two": 1}}, "'power_of_two'.*true or false"),
        ({"weights": {"granularity": "channels"}}, "granularity"),
        ({"weights": {"granularity": [1]}}, "granularity"),
        ({"weights": {"symmetric": False, "power_of_two": True}}, "power-of-two"),
        ({"activations": {"granularity": "channel"}}, "one range a tensor"),
        ({"steps": ["fold-batchnorm"]}, "There is no step 'fold-batchnorm'"),
        ({"steps": ["equalise"]}, "did you mean 'equalize'"),
        ({"steps": [{"equalize": {"sweep": 3}}]}, "no setting.*'sweep'.*'sweeps'"),
        ({"steps": [{"equalize": {"sweeps": "many"}}]}, "'sweeps'.*a whole number, such as 40; not 'many'"),
        ({"steps": [{"equalize": {"sweeps": 2.5}}]}, "a whole number"),
        ({"steps": [{"equalize": {"sweeps": True}}]}, "a whole number"),
        ({"steps": [{"equalize": {"sweeps": None}}]}, "a whole number"),
        ({"steps": [{"equalize": {3: 3}}]}, "no setting.*'3'"),
        ({"steps": [{"weight-ranges": {"method": "mze"}}]}, "range estimator 'mze'"),
        ({"steps": [{"weight-ranges": {"method": None}}]}, "range estimator 'None'"),
        ({"steps": [{"weight-ranges": {"percent": 99}}]}, "no setting.*'percent'"),
        ({"steps": [{"weight-ranges": {"network": 1}}]}, "no setting.*'network'"),
        ({"steps": [{"weight-ranges": {"rows": 1}}]}, "no setting.*'rows'"),
        ({"steps": [{"activation-ranges": {"method": "percentile", "percent": "high"}}]}, "'percent'.*a number"),
    ],
)
def test_what_does_not_exist_is_told_before_the_first_step(change: dict[str, Any], says: str) -> None:
    with pytest.raises(QexploreError, match=says) as error:
        check(Recipe.from_document({**GOOD, **change}))
    sentence(error)


def test_a_run_tells_it_before_any_step_too() -> None:
    events: list[dict[str, Any]] = []
    late = {**GOOD, "steps": ["fold-bn", {"weight-ranges": {"method": "mse"}}, {"activation-ranges": {"percent": 99}}]}
    with pytest.raises(UnknownName, match="percent"):
        qx.run("resnet-digits", late, on_event=events.append)
    assert not [event for event in events if event["event"] == "step-started"]


def test_weights_and_activations_may_be_left_out_or_null() -> None:
    for left_out in ({}, {"weights": None}, {"activations": None, "title": None}):
        recipe = Recipe.from_document({"steps": ["fold-bn"], **left_out})
        check(recipe)
        assert recipe.name == "unnamed"
        assert recipe.to_document()["weights"] == {}


GARBAGE = {
    "no YAML": "steps: [fold-bn",
    "tabs": "steps:\n\t- fold-bn",
    "a tag": "steps: !!python/object/apply:os.system ['true']",
    "a word": "fold-bn",
    "nothing": "",
    "a list": "- fold-bn\n- equalize",
    "an impossible date": "steps: [fold-bn]\nname: 2020-99-99",
    "an endless number": "weights: {bits: " + "9" * 5000 + "}\nsteps: [fold-bn]",
    "a deep nest": "[" * 20_000,
    "two documents": "steps: [fold-bn]\n---\nsteps: [fold-bn]",
    "an alias": "name: &a mine\ntitle: *a\nsteps: [fold-bn]",
    "a bomb": "a: &a [x, x]\n"
    + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst"))
    + "name: *t\nsteps: [fold-bn]",
    "control characters": "name: \x00\nsteps: [fold-bn]",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_file_of_garbage_is_refused_in_a_sentence(what: str, tmp_path: Path) -> None:
    with pytest.raises(QexploreError) as error:
        Recipe.load(written(tmp_path, GARBAGE[what]))
    sentence(error)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00s", b"#" * 100_000])
def test_bytes_that_are_no_text_and_huge_files_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"cannot be read|larger than 64 KB") as error:
        Recipe.load(written(tmp_path, content))
    sentence(error)


@pytest.mark.parametrize("path", ["no/such/file.yaml", "/", "a/\0b", "/dev/zero"])
def test_a_path_without_a_recipe_is_refused(path: str) -> None:
    with pytest.raises(BadRecipe, match=r"cannot be read|larger than 64 KB"):
        Recipe.load(path)


@pytest.mark.parametrize(("word", "value"), [("1e-3", 1e-3), ("2E+2", 200.0), ("1.5e1", 15.0), ("12", 12)])
def test_numbers_are_read_as_everybody_writes_them(word: str, value: float) -> None:
    recipe = Recipe.load("w4a8-adaround").with_settings({"adaround.rate": word})
    assert next(step for step in recipe.steps if step.name == "adaround").settings == {"rate": value}


@pytest.mark.parametrize("word", [".nan", ".inf", "1e400", "1" + "0" * 400, "[1, -1e300]"])
def test_numbers_that_nothing_can_count_are_refused(word: str) -> None:
    with pytest.raises(BadRecipe, match="finite number of at most 18 digits") as error:
        Recipe.load("data-free-w8a8").with_settings({"activation-ranges.alpha": word})
    sentence(error)


@pytest.mark.parametrize("name", ["w4a9", "W8A8 ", "", "none"])
def test_an_unknown_preset_is_answered_with_the_known(name: str) -> None:
    with pytest.raises(UnknownName, match="There is no preset"):
        Recipe.load(name)


@given(st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_recipe_or_refused(text: str) -> None:
    from qexplore.recipes import schema

    with pytest.raises(QexploreError):
        Recipe.from_document(schema._parse(text, "it"))


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries({"steps": json_like}, optional=dict.fromkeys(["weights", "activations", "name"], json_like))
)
@settings(max_examples=150, deadline=None)
def test_any_document_is_checked_without_another_kind_of_error(document: dict[str, Any]) -> None:
    try:
        recipe = Recipe.from_document(document)
        check(recipe)
    except QexploreError:
        return
    assert Recipe.from_document(recipe.to_document()) == recipe


@pytest.mark.parametrize(("name", "told"), [("mine", "mine"), ("x" * 200, "x" * 200), ("x" * 201, "x" * 199 + "…")])
def test_a_recipe_under_another_name_can_be_read_again(name: str, told: str) -> None:
    called = Recipe.from_document({**GOOD, "title": "Another"}).called(name)
    assert (called.name, called.title) == (told, "")
    assert Recipe.from_document(called.to_document()) == called


def test_settings_change_a_recipe_and_leave_the_first_as_it_was() -> None:
    first = Recipe.load("w8a8")
    second = first.with_settings(
        {"weights.bits": 4, "activation-ranges.method": "percentile", "activation-ranges.percent": "99.9"}
    )
    check(second)
    assert second.weights["bits"] == 4
    assert second.steps[-1].settings == {"method": "percentile", "percent": 99.9}
    assert first == Recipe.load("w8a8")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("bits", 4, "of the form step.key"),
        ("weights.", 4, "of the form step.key"),
        ("weight.bits", 4, "did you mean 'weights'"),
        ("weights.bitz", 4, "'bits'"),
        ("equalize.sweeps", 4, "no step of the recipe"),
        ("weights.bits", "[", "not YAML"),
        ("weights.bits", "2020-99-99", "not YAML"),
        ("weights.bits", "{a: 1}", "a number, a word"),
    ],
)
def test_settings_that_make_no_sense_are_refused(key: str, value: Any, says: str) -> None:
    with pytest.raises(QexploreError, match=says) as error:
        Recipe.load("w8a8").with_settings({key: value})
    sentence(error)
