"""Architectures of the zoo, with their shipped weights or a user's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qexplore.zoo import cifar
from qexplore.zoo.entries import ENTRIES
from qexplore.zoo.matching import put_weights
from qexplore.zoo.networks import Opened
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.task import fresh_model, open_model
from qexplore.zoo.weights import read_weights

DIGITS = Preprocessing(1, (8, 8), None, (0.0,), (1.0,))
CIFAR10 = replace(cifar.PREPROCESSING, resize=(32, 32))
_OF_DATA = {
    "qexplore.zoo.digits:digits": (DIGITS, tuple(str(digit) for digit in range(10))),
    "qexplore.zoo.cifar:cifar10": (CIFAR10, cifar.CLASSES),
}


def open_zoo(name: str, file: Path | None) -> Opened:
    """The zoo's network `name`; weights from `file`, else those that are shipped."""
    entry = ENTRIES.get(name)
    preprocessing, classes = _OF_DATA[entry.data]
    if file is None:
        return Opened(open_model(entry), preprocessing, classes, entry.name, entry.checkpoint)
    model = fresh_model(entry)
    notes = put_weights(model, read_weights(file), entry.name)
    return Opened(model, preprocessing, None, entry.name, file.name, notes=notes)
