"""A link that asks for what cannot be: one quiet sentence names it, and what is shown in its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]


def told(at: AppTest) -> list[str]:
    return [one.value for one in at.caption if "link_off" in one.value]


@pytest.mark.parametrize(
    ("page", "key", "asked", "said"),
    [
        ("budgets", "w", "99", "`99` average weight bits, which go from 2 to 8; 3 is set"),
        ("budgets", "a", "many", "`many` average activation bits, which go from 2 to 8; 3 is set"),
        ("budgets", "kb", "-1", "`-1` KB of weights, which begin at 0.001; no limit is set"),
        ("training", "train", "qat-w9a9", "no recipe `qat-w9a9` that trains; this is qat-w3a3"),
    ],
)
def test_a_setting_out_of_reach_is_told(page: str, key: str, asked: str, said: str, opened: Open) -> None:
    (sentence,) = told(opened(page, task="resnet-digits", **{key: asked}))
    assert said in sentence


def test_a_budget_of_training_out_of_reach_is_told(opened: Open) -> None:
    (sentence,) = told(opened("training", task="resnet-digits", train="qbitopt-4", qw="1", qkb="30"))
    assert "`1` average weight bits, which go from 2 to 8; 4 is set" in sentence


@pytest.mark.parametrize("page", ["network", "quantizer", "ranges", "sensitivity", "budgets", "training"])
def test_an_unknown_site_is_told_with_the_one_that_is_shown(page: str, opened: Open) -> None:
    more = {"run": "qat-w3a3"} if page == "training" else {}
    at = opened(page, task="resnet-digits", site="zz`z", **more)
    (sentence,) = told(at)
    shown = at.selectbox(key="site").value
    assert f"asks for the site `zz z`, which is not here; this is {shown}." in sentence


def test_a_training_that_is_replayed_without_a_picker_of_sites_picks_none(opened: Open) -> None:
    at = opened("training", task="resnet-digits", run="qbitopt-3", site="zzz")
    assert "the site `zzz`, which is not here; none is picked" in told(at)[0]


def test_the_sentence_is_gone_once_something_else_is_picked(opened: Open) -> None:
    at = opened("budgets", task="resnet-digits", w="99", site="zzz")
    assert len(told(at)) == 2
    at.run()
    assert len(told(at)) == 2
    at.slider(key="w").set_value(4.0).run()
    assert len(told(at)) == 1
    at.selectbox(key="site").set_value("stem.conv.out").run()
    assert not told(at)


def test_what_can_be_shown_is_not_talked_about(opened: Open) -> None:
    assert not told(opened("budgets", task="resnet-digits", w="2", a="8.0", kb="20", site="stem.conv.out"))


def test_trainings_of_a_comparison_that_are_gone_are_told(opened: Open) -> None:
    (sentence,) = told(opened("training", task="resnet-digits", view="compare", runs="qat-w3a3,gone"))
    assert "asks for `gone` too, no training of this task" in sentence
