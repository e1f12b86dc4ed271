"""Pictures of a user's own can be trained on, and where they cannot a sentence says how."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.report import Event
from qexplore.zoo import Task
from tests.zoo.album_makers import RGB, folder_of

RECIPE = {
    "name": "short",
    "weights": {"bits": 6},
    "steps": ["weight-ranges", "activation-ranges", {"qat": {"epochs": 1, "batch": 4, "shift": 1, "flip": True}}],
}


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
        return nn.Sequential(*parts).eval()


def test_pictures_that_cannot_be_read_are_left_out_of_training(tmp_path: Path) -> None:
    folder_of(tmp_path / "train", {"cat": 12, "dog": 12})
    folder_of(tmp_path / "test", {"cat": 4, "dog": 4})
    (tmp_path / "train" / "cat" / "0003.png").write_bytes(b"no picture")
    (tmp_path / "train" / "dog" / "0017.png").write_bytes(b"no picture")
    task, events = Task.of(network(), f"folder:{tmp_path}", preprocessing=RGB), list[Event]()
    result = qx.run(task, RECIPE, on_event=events.append)
    started = next(event for event in events if event["event"] == "training-started")
    calibration = result.steps["images"].iloc[0]
    assert calibration == 8
    assert started["images"] + started["held_out"] == 22
    assert any(event["event"] == "skipped" and event["images"] == 2 for event in events)


def test_a_plain_folder_has_no_training_part_and_the_sentence_says_how_to_make_one(tmp_path: Path) -> None:
    folder_of(tmp_path, {"cat": 12, "dog": 12})
    task = Task.of(network(), f"folder:{tmp_path}", preprocessing=RGB)
    with pytest.raises(QexploreError, match="sort its pictures into train/ and test/ below one folder"):
        qx.run(task, RECIPE)
