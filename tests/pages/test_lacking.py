"""What the profile of a slow network leaves out is said on the page that lacks it, and can be measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from qexplore.report import Report
from qexplore.runs import Store, profile_extent, profiles
from qexplore.runs.profile_job import profile
from tests.executors import Idle
from tests.pages.shelf import shelve
from tests.pages.words import words

Open = Callable[..., AppTest]
TASK = "resnet-digits"
SPEC = {"kind": "profile", "task": TASK, "images": 24}


@pytest.fixture(scope="module")
def least(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with everything left out that can be."""
    folder = tmp_path_factory.mktemp("least")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile_extent, "PATIENCE", 0.0)
        profile(SPEC, Report(), folder)
    return folder


@pytest.fixture
def slow(opened: Open, least: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """The app in a home where the task's newest profile is that."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())
    run = shelve(home, SPEC, {})
    shutil.copytree(least, Store(home, executor=Idle()).folder(run), dirs_exist_ok=True)
    return opened


def test_a_profile_tells_what_it_leaves_out(least: Path) -> None:
    assert profiles.Profile.read(least).left_out == list(profiles.PARTS)
    assert profiles.load("mobilenet-digits").left_out == []


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("ranges", ["accuracy of each range estimator at each site, because", "estimator at all sites, because"]),
        ("sensitivity", ["the metrics divergence and loss, because"]),
        ("post_training", ["has not been measured step by step on this task", "has not been debugged on this task"]),
        ("network", ["Not measured, because that would have taken long: the accuracy of each range estimator"]),
    ],
)
def test_a_page_says_what_it_lacks_and_only_then(slow: Open, page: str, told: list[str]) -> None:
    at = slow(page, task=TASK)
    lacking, whole = words(at), words(slow(page, task="mobilenet-digits"))
    for sentence in told:
        assert sentence in lacking
        assert sentence not in whole
    ways = [link for link in at.get("page_link") if link.proto.label == "Measure it, at the foot of Network"]
    assert len(ways) == (len(told) if page in ("ranges", "sensitivity") else 0)


def test_every_page_stands_on_such_a_profile(slow: Open) -> None:
    for page in ("quantizer", "budgets", "runs"):
        assert words(slow(page, task=TASK))


def test_what_is_left_out_is_measured_by_a_button(slow: Open, home: Path) -> None:
    at = slow("network", task=TASK)
    at.button(key="measure-all").click().run()
    assert not at.exception
    [asked] = Store(home, executor=Idle()).runs(state="queued")
    assert (asked.spec["images"], asked.spec["complete"]) == (24, True)
