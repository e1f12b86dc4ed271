"""Small folders and files of real pictures, and what is told of those that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qexplore.errors import QexploreError
from qexplore.zoo.pictures import open_data
from qexplore.zoo.preprocessing import Preprocessing

RGB = Preprocessing(3, None, None, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
GREY = Preprocessing(1, None, None, (0.5,), (0.25,))


def picture(seed: int, size: tuple[int, int] = (8, 6), channels: int = 3) -> Image.Image:
    """A picture of noise, size (width, height)."""
    shape = (size[1], size[0], 3) if channels == 3 else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def folder_of(root: Path, counts: dict[str, int], size: tuple[int, int] = (8, 6), ending: str = "png") -> Path:
    """<root>/<class>/<number>.<ending>, so many of each class."""
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            picture(number, size).save(root / name / f"{number:04}.{ending}")
            number += 1
    return root


def digits_of_mnist(root: Path) -> Path:
    """<root>/MNIST/raw as torchvision downloads it: 40 pictures of noise to train, 20 to test."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        x, y = rng.integers(0, 256, (count, 28, 28), np.uint8), (np.arange(count) % 10).astype(np.uint8)
        header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in x.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + x.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count.to_bytes(4, "big") + y.tobytes())
    return root


def sentence(source: object, preprocessing: Preprocessing = RGB, **settings: Any) -> str:
    """What is told of the images when they are opened and read; one line, no traceback."""
    with pytest.raises(QexploreError) as told:
        open_data(str(source), preprocessing, **settings).tensors("evaluation")
    assert "\n" not in str(told.value)
    return str(told.value)
