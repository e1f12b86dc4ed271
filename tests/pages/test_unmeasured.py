"""A task that nobody has measured, or whose images are not here: each page says so and offers the way out."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from qexplore.recipes import Recipe
from qexplore.runs import Store, profiles
from qexplore.runs.records import Records
from qexplore.ui.absent import how_to_get
from qexplore.ui.own.folders import places
from qexplore.ui.scored import spec_of
from qexplore.ui.unmeasured import anew
from qexplore.zoo.fingerprint import made_of
from tests.executors import Idle
from tests.figures.large import large
from tests.pages.owned import own_task, pictures
from tests.pages.words import words

Open = Callable[..., AppTest]
PAGES = ("network", "quantizer", "ranges", "post_training", "sensitivity", "budgets", "training")


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())
    monkeypatch.delenv("QEXPLORE_DATA", raising=False)


def queued(home: Path) -> list[dict[str, Any]]:
    return [run.spec for run in Store(home, executor=Idle()).runs(state="queued")]


def measured(home: Path, task: str) -> None:
    """A profile of 240 sites for the task."""
    shelf = Store(home, executor=Idle())
    run = shelf.submit({"kind": "profile", "task": task})
    large(shelf.folder(run), task)
    Records(shelf.root).finish(run, "done", result={})


def test_a_task_that_has_changed_since_says_so_and_is_measured_anew(opened: Open, home: Path, tmp_path: Path) -> None:
    own_task(home, "mine", data=f"folder:{tmp_path / 'photos'}")
    pictures(tmp_path / "photos")
    measured(home, "mine")
    header = next(home.glob("runs/*/profile.json"))
    header.write_text(json.dumps(json.loads(header.read_text()) | {"made_of": made_of("mine"), "limit": 700}))
    at = opened("sensitivity", task="mine")
    assert "have changed since" not in words(at)
    (tmp_path / "photos" / "class7").mkdir()
    at.run()
    assert "The network's file or the images of **mine** have changed since" in words(at)
    at.button(key="measure-anew").click().run()
    assert [(spec["task"], spec["images"]) for spec in queued(home)] == [("mine", 700)]
    assert "is being measured anew" in words(at)
    assert not [button for button in at.button if button.key == "measure-anew"]
    (run,) = Store(home, executor=Idle()).runs(state="queued")
    again = large(Store(home, executor=Idle()).folder(run.id), "mine").folder / "profile.json"
    again.write_text(json.dumps(json.loads(again.read_text()) | {"made_of": made_of("mine")}))
    Records(home).finish(run.id, "done", result={})
    assert "have changed since" not in words(at.run())


@pytest.mark.parametrize(
    ("told", "asked", "scored_on"),
    [({"limit": 500}, {"images": 500}, 500), ({"limit": None}, {}, None), ({}, {"images": 300}, None)],
)
def test_a_profile_is_repeated_and_added_to_with_the_limit_it_had(
    told: dict[str, Any], asked: dict[str, Any], scored_on: int | None
) -> None:
    """Of 300 evaluation images; the calibration part may hold more. The last header is of an older qexplore."""
    task = {"task": "resnet-digits", "recipe": Recipe.load("w8a8").to_document(), "seed": 3}
    profile = profiles.Profile(Path(), {**task, "fp32": {"images": 300}, "images": 300, **told})
    assert profile.images is None
    assert anew(profile) == {"kind": "profile", "task": "resnet-digits", "recipe": "w8a8", "seed": 3, **asked}
    assert spec_of(profile, "hessian-trace")["images"] == scored_on


@pytest.mark.parametrize("page", PAGES)
def test_a_page_offers_to_measure_a_task_without_a_profile(opened: Open, home: Path, page: str) -> None:
    own_task(home, "mine")
    at = opened(page, task="mine")
    assert "has not been measured yet" in words(at)
    assert at.button(key="measure-now")
    assert not at.error


def test_measuring_is_asked_for_once_with_the_images_that_were_chosen(opened: Open, home: Path, tmp_path: Path) -> None:
    own_task(home, "mine", data=f"folder:{tmp_path}")
    at = opened("sensitivity", task="mine")
    at.select_slider(key="unmeasured-images").set_value(250)
    at.run().button(key="measure-now").click().run()
    assert queued(home) == [{"kind": "profile", "task": "mine", "images": 250}]
    assert "is being measured" in words(at)
    assert not [button for button in at.button if button.key == "measure-now"]


def test_a_page_draws_by_itself_once_there_is_a_profile(opened: Open, home: Path) -> None:
    own_task(home, "mine")
    at = opened("sensitivity", task="mine")
    measured(home, "mine")
    assert "241 sites" in words(at.run())


def test_an_attempt_that_failed_says_why(opened: Open, home: Path) -> None:
    own_task(home, "mine")
    shelf = Store(home, executor=Idle())
    run = shelf.submit({"kind": "profile", "task": "mine"})
    Records(shelf.root).finish(run, "failed", error="The folder is empty.")
    assert "The folder is empty." in opened("budgets", task="mine").error[0].value


def test_a_profile_of_an_earlier_task_of_the_same_name_is_not_drawn(home: Path) -> None:
    measured(home, "mine")
    time.sleep(0.01)
    own_task(home, "mine", created="2999-01-01T00:00:00+00:00")
    with pytest.raises(profiles.NoProfile):
        profiles.load("mine", Store(home, executor=Idle()))


@pytest.mark.parametrize("page", PAGES)
def test_a_large_network_is_drawn_on_every_page_and_fast_the_second_time(opened: Open, home: Path, page: str) -> None:
    own_task(home, "mine")
    measured(home, "mine")
    at = opened(page, task="mine")
    assert "your own" in words(at)
    began = time.process_time()
    at.run()
    assert time.process_time() - began < 1.5  # seconds; it takes 0.1 to 0.3
    assert not at.exception


def test_a_measurement_that_was_deleted_is_not_drawn_on(opened: Open, home: Path) -> None:
    own_task(home, "mine")
    measured(home, "mine")
    opened("network", task="mine")
    shelf = Store(home, executor=Idle())
    shelf.delete(shelf.runs()[0].id)
    assert "mine has not been measured yet" in words(opened("sensitivity", task="mine"))


def test_what_was_stored_is_drawn_where_the_images_are_gone(opened: Open, home: Path) -> None:
    own_task(home, "mine")
    measured(home, "mine")
    at = opened("budgets", task="mine")
    assert "241 sites" in words(at)
    assert "read from `/nowhere/shapes`, which is gone" in at.info[0].value


def refused(monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    """From now on nothing whose path begins with `below` may be looked at."""
    stat = os.stat

    def look(path: object, *args: object, **named: object) -> object:
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(below):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return stat(path, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", look)


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_images_that_may_not_be_looked_at_are_told_as_not_here(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    own_task(home, "mine", data=f"{kind}:/locked/shapes")
    measured(home, "mine")
    refused(monkeypatch, "/locked")
    at = opened("budgets", task="mine")
    assert "read from `/locked/shapes`, which is gone, or cannot be looked at" in at.info[0].value
    assert "241 sites" in words(at)


def test_a_path_that_no_file_system_takes_is_not_here(home: Path) -> None:
    own_task(home, "mine", data=f"folder:/{'x' * 300}")
    assert "which is gone" in how_to_get("mine")


def test_a_folder_of_cifar10_that_may_not_be_looked_at_is_not_here(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_task(home, "mine", data="cifar10")
    (tmp_path / "cifar10" / "cifar-10-batches-py").mkdir(parents=True)
    monkeypatch.setenv("QEXPLORE_DATA", str(tmp_path))
    assert how_to_get("mine") == ""
    refused(monkeypatch, str(tmp_path / "cifar10"))
    assert "The images of CIFAR-10 are not here" in how_to_get("mine")


def test_a_folder_that_may_not_be_looked_into_holds_no_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "locked" / "images").mkdir(parents=True)
    monkeypatch.setenv("QEXPLORE_DATA", str(tmp_path))
    refused(monkeypatch, str(tmp_path / "locked"))
    places.clear()
    assert places((tmp_path,)) == []


def test_a_task_of_cifar10_without_its_images_says_how_to_get_them(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_task(home, "mine", data="cifar10")
    told = opened("ranges", task="mine").info[0].value
    assert all(way in told for way in ("train/<class>/", "QEXPLORE_DATA", "--data", "python -m qexplore data add DIR"))
    for part in ("train", "test"):
        (tmp_path / part / "airplane").mkdir(parents=True)
    monkeypatch.setenv("QEXPLORE_DATA", str(tmp_path))
    assert not opened("ranges", task="mine").info
