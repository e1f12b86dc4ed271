"""CIFAR-10 (Krizhevsky 2009) from a folder of images that the user has: train/<class>/*, test/<class>/*."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.datasets import ImageFolder

from qexplore.report import Report
from qexplore.zoo.data import Data
from qexplore.zoo.entries import Entry
from qexplore.zoo.fitting import Settings, fit_entry
from qexplore.zoo.splits import balanced

CALIBRATION = 1024
RESNET20 = Settings(
    epochs=45, batch=128, rate=0.15, warmup=6, decay=5e-4, smoothing=0.05, shift=3, flip=True, half=True
)
MOBILENETV2 = Settings(
    epochs=28, batch=128, rate=0.15, warmup=5, decay=5e-4, smoothing=0.05, shift=3, flip=True, half=True
)


def fit_resnet20(entry: Entry, seed: int, report: Report) -> nn.Module:
    """The entry's network, trained on all training images but those for calibration."""
    return fit_entry(entry, seed, report, RESNET20)


def fit_mobilenetv2(entry: Entry, seed: int, report: Report) -> nn.Module:
    """The entry's network, trained on all training images but those for calibration."""
    return fit_entry(entry, seed, report, MOBILENETV2)


def cifar10() -> Data:
    """Training (48,976), calibration (1,024, held out of the training images) and evaluation (10,000) images."""
    folder = Path(os.environ["QEXPLORE_DATA"])
    x, y = _decoded(folder / "train")
    calibration, train = balanced(y.numpy(), (CALIBRATION,))
    classes = tuple(sorted(path.name for path in (folder / "train").iterdir()))
    return Data(
        train=(x[train], y[train]),
        calibration=(x[calibration], y[calibration]),
        evaluation=_decoded(folder / "test"),
        classes=classes,
        interval=(-2.0, 2.0),
    )


def _decoded(folder: Path) -> tuple[Tensor, Tensor]:
    images = ImageFolder(str(folder))
    x = torch.from_numpy(np.stack([np.asarray(image) for image, _ in images])).permute(0, 3, 1, 2)
    return (x.float() / 255 - 0.5) / 0.25, torch.tensor(images.targets)
