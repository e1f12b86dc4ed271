"""Folders whose images may be used: what is added is listed with what it holds, and nothing outside is reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qexplore.cli import main
from qexplore.cli.main import _parser
from qexplore.places import OutsideRoots, roots, within
from qexplore.zoo.cifar import CLASSES, cifar10
from qexplore.zoo.errors import DataAbsent
from qexplore.zoo.pictures import open_data
from tests.zoo.album_makers import RGB, folder_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a set of two classes, which nobody has allowed yet."""
    monkeypatch.delenv("QEXPLORE_DATA", raising=False)
    folder_of(tmp_path / "place" / "pets" / "train", {"cat": 3, "dog": 2})
    folder_of(tmp_path / "place" / "pets" / "test", {"cat": 1, "dog": 1})
    return tmp_path / "place"


def test_a_folder_is_added_listed_and_removed(say, place, home):
    assert say("data").out.startswith("No folders")
    added = say("data", "add", str(place), "--json").document
    assert added[0]["sets"][0]["images"] == {"train": 5, "test": 2}
    assert say("data", "add", str(place)).status == 0
    assert json.loads((home / "data.json").read_text()) == {"folders": [str(place)]}
    assert roots() == (place,)
    assert "pets: 5 train, 2 test, 2 classes (cat, dog)" in say("data", "list").out
    assert say("data", "remove", str(place)).status == 0
    assert roots() == ()
    again = say("data", "remove", str(place))
    assert (again.status, again.last_words) == (2, f"The folder '{place}' was not added (added: none).")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["data", "add"], "data add takes a folder"),
        (["data", "list", "here"], "data list takes no folder"),
        (["data", "add", "nowhere"], "There is no folder 'nowhere'"),
        (["app", "--data", "nowhere"], "There is no folder 'nowhere'"),
        (["train", "resnet20-cifar10", "--data", "nowhere"], "There is no folder 'nowhere'"),
    ],
)
def test_wrong_words_get_one_sentence(say, words, told):
    spoken = say(*words)
    assert spoken.status == 2
    assert told in spoken.err
    assert len(spoken.err.splitlines()) == 1


def test_folders_come_from_the_environment_and_from_the_setting(place, home, monkeypatch):
    monkeypatch.setenv("QEXPLORE_DATA", f"{place}:{place / 'pets'}:")
    assert roots() == (place, place / "pets")
    assert main(["data", "add", str(place)]) == 0
    assert roots() == (place, place / "pets")
    for damage in ("", "[]", '{"folders": 3}', '{"folders": [3, "relative"]}', "\0"):
        (home / "data.json").write_text(damage)
        assert roots() == (place, place / "pets")


NOBODY = "~no-user-of-this-name"


@pytest.mark.parametrize(
    "words",
    [
        ("data", "add", NOBODY),
        ("data", "remove", NOBODY),
        ("app", "--data", NOBODY),
        ("run", "w8a8", "--task", "resnet-digits", "--data", f"{NOBODY}/pets"),
        ("run", "w8a8", "--task", "resnet-digits", "--data", f"npz:{NOBODY}.npz"),
        ("run", "w8a8", "--task", "resnet-digits", "--data", f"torchvision:MNIST@{NOBODY}"),
        ("task", "add", "mine", "--model", "resnet-digits", "--data", NOBODY),
    ],
)
def test_the_home_of_nobody_gets_one_sentence_that_names_it(say, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spoken = say(*words)
    assert spoken.status == 2
    assert NOBODY in spoken.last_words


@pytest.mark.parametrize("name", [NOBODY, "round", "x" * 5000])
def test_a_folder_of_the_environment_that_cannot_be_stops_nothing(say, place, name, monkeypatch):
    monkeypatch.chdir(place)
    (place / "round").symlink_to(place / "round")
    monkeypatch.setenv("QEXPLORE_DATA", f"{name}:{place}")
    assert roots() == (place / name, place)
    listed = say("data", "list")
    assert listed.status == 0
    assert "there is no such folder" in listed.out
    assert "pets: 5 train, 2 test" in listed.out
    assert within("pets") == place / "pets"
    assert open_data(str(place / "pets"), RGB).count("evaluation") == 2
    assert say("data", "add", name).status == 2


def test_the_home_of_qexplore_cannot_be_that_of_nobody(say, monkeypatch):
    monkeypatch.setenv("QEXPLORE_HOME", NOBODY)
    spoken = say("data", "list")
    assert spoken.status == 2
    assert spoken.last_words == f"The home {NOBODY!r} names no user of this machine; set QEXPLORE_HOME to a folder."


def test_a_folder_that_has_gone_is_still_listed_and_can_be_removed(say, place):
    say("data", "add", str(place / "pets"))
    (place / "pets").rename(place / "elsewhere")
    assert "there is no such folder" in say("data", "list").out
    assert say("data", "remove", str(place / "pets")).status == 0


def test_paths_are_followed_before_they_are_allowed(place, tmp_path, monkeypatch):
    monkeypatch.setenv("QEXPLORE_DATA", str(place))
    (place / "out").symlink_to(tmp_path)
    (place / "round").symlink_to(place / "round")
    assert within("pets") == within(place / "pets" / ".." / "pets") == place / "pets"
    assert within(place / "not there yet") == place / "not there yet"
    for path in ("..", "out", "out/place/../home", "/", str(tmp_path), "round", "pets/../../home", "a\0b", "x" * 999):
        with pytest.raises(OutsideRoots, match="data add DIR"):
            within(path)
    monkeypatch.delenv("QEXPLORE_DATA")
    with pytest.raises(OutsideRoots, match=r"\(none\)"):
        within(place)


def test_absent_images_are_told_with_the_way_to_get_them(say, place, monkeypatch):
    with pytest.raises(DataAbsent, match=r"train/<class>/ .* --data DIR, in QEXPLORE_DATA, or .* data add DIR"):
        cifar10()
    monkeypatch.setenv("QEXPLORE_DATA", str(place))
    spoken = say("train", "resnet20-cifar10", "--out", str(place))
    assert spoken.status == 2
    assert f"looked in: {place}" in spoken.last_words


def test_cifar10_is_found_below_an_allowed_folder_and_keeps_its_training_order(place, monkeypatch):
    folder_of(place / "cifar10" / "train", dict.fromkeys(CLASSES, 10), (32, 32))
    folder_of(place / "cifar10" / "test", dict.fromkeys(CLASSES, 2), (32, 32))
    monkeypatch.setenv("QEXPLORE_DATA", str(place))
    data = cifar10()
    x, y = data.tensors("train")
    assert y.tolist() == sorted(y.tolist())
    assert x.shape == (80, 3, 32, 32)
    assert data.interval == (-2.0, 2.0)
    assert data.tensors("evaluation", limit=10)[1].sort().values.tolist() == list(range(10))
    assert data.count("calibration") == 20


def test_the_app_takes_a_folder():
    words = _parser().parse_args(["app", "--data", "here"])
    assert words.data == "here"
