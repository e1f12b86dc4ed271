"""The digest of a task of one's own changes with its factory and its images, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qexplore.zoo import own
from qexplore.zoo.fingerprint import fingerprint, made_of
from tests.zoo.own_parts import factory, pictures

Change = Callable[[Path], object]


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Any]:
    pictures(tmp_path / "photos" / "train")
    (tmp_path / "photos" / "train" / "dog" / "old").mkdir()
    (tmp_path / "parts").mkdir()
    for name in ("blocks.py", "parts/__init__.py", "parts/blocks.py"):
        (tmp_path / name).write_text("SIZE = 3\n")
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4))
    return {"model": factory(tmp_path), "data": f"folder:{tmp_path / 'photos'}", "local": True}


def aged(folder: Path) -> None:
    """Everything below is an hour old: what changes now has another time on any file system."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)


CHANGES: dict[str, Change] = {
    "the factory": lambda place: (place / "mine.py").open("a").write("\n# another\n"),
    "a module beside it": lambda place: (place / "blocks.py").write_text("SIZE = 5 * 1\n"),
    "a module of a package": lambda place: (place / "parts" / "blocks.py").write_text("SIZE = 5 * 1\n"),
    "a picture in its place": lambda place: next((place / "photos/train/dog").glob("*.png")).write_bytes(b"another"),
    "a picture in a folder of a class": lambda place: (place / "photos/train/dog/old/one.png").write_bytes(b"x"),
    "a picture more": lambda place: (place / "photos/train/cat/new.png").write_bytes(b"x"),
    "a picture less": lambda place: next((place / "photos/train/dog").glob("*.png")).unlink(),
    "a class more": lambda place: (place / "photos/train/bird").mkdir(),
    "the folder": lambda place: (place / "photos").rename(place / "gone"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_changes_with(change: str, parts: dict[str, Any], tmp_path: Path) -> None:
    aged(tmp_path)
    before = fingerprint(parts)
    assert fingerprint(dict(parts)) == before
    CHANGES[change](tmp_path)
    assert fingerprint(parts) != before


def test_of_many_pictures_the_folders_count(
    parts: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qexplore.zoo.fingerprint._FILES", 3)
    for change in ("a picture more", "a picture less", "a class more"):
        aged(tmp_path)
        before = fingerprint(parts)
        CHANGES[change](tmp_path)
        assert fingerprint(parts) != before


def test_what_lies_beside_does_not_count(parts: dict[str, Any], tmp_path: Path) -> None:
    before = fingerprint(parts)
    (tmp_path / "notes.txt").write_text("nothing")
    assert fingerprint(parts) == before


def test_arrays_count_by_their_size_and_age(parts: dict[str, Any], tmp_path: Path) -> None:
    parts["data"] = f"npz:{tmp_path / 'x.npz'}"
    before = fingerprint(parts)
    np.savez(tmp_path / "x.npz", x=np.zeros((5, 8, 8), np.uint8), y=np.arange(5))
    assert fingerprint(parts) != before


def test_of_torchvision_and_the_zoo_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"model": "torchvision:resnet18@random", "data": "torchvision:CIFAR10", "local": False}
    before = fingerprint(named)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CIFAR10" / "cat").mkdir(parents=True)  # which the name does not mean
    assert fingerprint(named) == before
    assert made_of("resnet-digits") is None


def test_a_stored_task_has_the_digest_of_its_document(parts: dict[str, Any]) -> None:
    own.add("mine", model=parts["model"], data=parts["data"], local=True)
    source = own.entry("mine").source
    assert source is not None
    assert made_of("mine") == fingerprint(source)
