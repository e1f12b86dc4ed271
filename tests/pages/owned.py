"""Tasks of one's own in a home, and pictures to allow: written by hand, without any network."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PREPROCESSING = {"channels": 3, "resize": 32, "crop": 32, "mean": [0.5] * 3, "std": [0.25] * 3}


def own_task(home: Path, name: str, **fields: Any) -> None:
    """The folder of a task of resnet18 with random weights on a folder of pictures."""
    document = {
        "format": 1,
        "name": name,
        "title": f"The task {name}",
        "model": "torchvision:resnet18@random",
        "weights": None,
        "data": "folder:/nowhere/shapes",
        "preprocessing": {**PREPROCESSING, "interpolation": "bilinear"},
        "classes": ["circle", "square"],
        "segmentation": False,
        "seed": 0,
        "local": False,
        "created": "2026-11-21T00:00:00+00:00",
    }
    folder = home / "tasks" / name
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(document | fields))


def added_again(home: Path, name: str, **fields: Any) -> None:
    """The task is removed, and another one added under its name now."""
    shutil.rmtree(home / "tasks" / name)
    own_task(home, name, created=datetime.datetime.now(datetime.UTC).isoformat(), **fields)


def pictures(folder: Path, classes: int = 3, each: int = 8, side: int = 12) -> Path:
    """A subfolder of pictures for each class, noise around a grey of its own."""
    chance = np.random.default_rng(0)
    for label in range(classes):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for number in range(each):
            pixels = chance.integers(0, 60, (side, side, 3)) + 20 * label
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return folder
