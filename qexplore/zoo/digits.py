"""scikit-learn's bundled handwritten digits: 1,797 real 8×8 images in three fixed, disjoint parts."""

from __future__ import annotations

import functools
import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qexplore.zoo.augmentation import Moves
from qexplore.zoo.data import Data
from qexplore.zoo.splits import balanced

EVALUATION = 500
CALIBRATION = 256


def digits() -> Data:
    """Training (1,041), calibration (256) and evaluation (500) images, [N, 1, 8, 8] in [0, 1], classes "0" to "9".

    All parts hold the classes in the same proportions. Source: UCI's optical recognition of handwritten digits
    (Alpaydin and Kaynak 1998), the part that scikit-learn ships; writers are not kept apart.
    """
    images, labels = _arrays()
    x = torch.from_numpy(images).view(-1, 1, 8, 8)
    y = torch.from_numpy(labels)
    evaluation, calibration, train = (_part(x, y, index) for index in part_indices())
    return Data(
        train=train,
        calibration=calibration,
        evaluation=evaluation,
        classes=tuple(str(digit) for digit in range(10)),
        interval=(0.0, 1.0),
        moves=Moves(shift=1),
    )


@functools.cache
def part_indices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of the evaluation, calibration and training images in scikit-learn's order, each sorted."""
    evaluation, calibration, train = balanced(_arrays()[1], (EVALUATION, CALIBRATION))
    return evaluation, calibration, train


def _part(x: Tensor, y: Tensor, index: np.ndarray) -> tuple[Tensor, Tensor]:
    chosen = torch.from_numpy(index)
    return x[chosen], y[chosen]


@functools.cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    """Images [1797, 64] float32 in [0, 1] and labels [1797] int64."""
    table = _bundled()
    if table is None:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        table = np.column_stack((bunch.data, bunch.target))
    return (table[:, :-1] / 16).astype(np.float32), table[:, -1].astype(np.int64)


def _bundled() -> np.ndarray | None:
    """The table [1797, 65] of the file that load_digits reads; None where scikit-learn keeps it elsewhere.

    Importing sklearn takes two seconds, reading its file a twentieth of one; opening a task must stay below a second.
    """
    spec = importlib.util.find_spec("sklearn")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            with gzip.open(file, "rt") as lines:
                table = np.loadtxt(lines, delimiter=",")
            return table if table.shape == (1797, 65) else None
    return None
