"""Small real files for tests of networks and tasks of one's own."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import nn

FACTORY = """
from torch import nn

def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

def pixels():
    return nn.Conv2d(3, 3, 1)

def broken():
    raise RuntimeError("out of paint")

def leaving():
    raise SystemExit(3)

def nothing():
    return 3
"""


def pictures(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 12, mode: str = "RGB") -> Path:
    """<folder>/<class>/N.png, `count` pictures of 8 × 8 pixels for each class, brighter from class to class."""
    generator = torch.Generator().manual_seed(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            shade = 40 + 150 * number // max(1, len(classes) - 1)
            pixels = (torch.randint(-30, 30, (8, 8, 3), generator=generator) + shade).clamp(0, 255).byte().numpy()
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{i}.png")
    return folder


def masked(folder: Path, count: int = 10) -> Path:
    """<folder>/images/N.png with <folder>/masks/N.png of classes 0 to 2."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    generator = torch.Generator().manual_seed(1)
    for i in range(count):
        classes = torch.randint(0, 3, (8, 8), generator=generator)
        Image.fromarray((classes[..., None] * 80).expand(8, 8, 3).byte().numpy()).save(folder / "images" / f"{i}.png")
        Image.fromarray(classes.byte().numpy()).save(folder / "masks" / f"{i}.png")
    return folder


def network(classes: int = 2) -> nn.Module:
    """The network of FACTORY."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    ).eval()


def factory(folder: Path) -> str:
    """FILE.py:network, a file with FACTORY."""
    (folder / "mine.py").write_text(FACTORY)
    return f"{folder / 'mine.py'}:network"
