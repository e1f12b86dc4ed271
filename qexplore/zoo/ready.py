"""Floating-point arrays of an .npz file: inputs of a network as they are, with nothing left to prepare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from qexplore.zoo.data import Data
from qexplore.zoo.npz import npz_arrays, npz_labels
from qexplore.zoo.sources import Batch, require_below, require_several
from qexplore.zoo.splits import parted

NOTICE = "The arrays are floating-point: they are taken as ready inputs, without any preprocessing."


def is_ready(path: Path) -> bool:
    """Whether the file's images are floating-point numbers."""
    file, (images, _), _ = npz_arrays(path)
    return file.forms[images].dtype.kind == "f"


def ready_data(path: Path, source: str, classes: int | None, seed: int, calibration: int) -> Data:
    """The file's images [N, …] as float32, in parts as all images.

    Raises BadData where a label is beyond the network, or all are the same.
    """
    file, first, test = npz_arrays(path)
    labels = [npz_labels(file, pair[1], pair[0]) for pair in (first, test) if pair is not None]
    greatest = max(int(y.max()) for y in labels if y.ndim == 1) if labels[0].ndim == 1 else 0
    if classes is not None:
        require_below(greatest, classes, f"the labels of {file.shown}")
    for y in labels:
        if y.ndim == 1:
            require_several(int(y.min()), int(y.max()), f"the labels of {file.shown}")
    parts = parted(_classes(labels[0]), _classes(labels[1]) if test else None, seed, calibration)
    x = file.array(first[0]).astype(np.float32, copy=False)
    tests = (file.array(test[0]).astype(np.float32, copy=False), labels[1]) if test else (x, labels[0])
    return Data(
        train=None if parts.train is None else _part(x, labels[0], parts.train),
        calibration=_part(x, labels[0], parts.calibration),
        evaluation=_part(*tests, parts.evaluation),
        source=source,
        notices=(NOTICE, *parts.notices),
    )


def _classes(labels: np.ndarray) -> np.ndarray:
    return labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)


def _part(x: np.ndarray, y: np.ndarray, index: np.ndarray) -> Batch:
    return torch.from_numpy(x[index]), torch.from_numpy(y[index].astype(np.int64))
