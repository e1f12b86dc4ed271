"""Tasks: data sets, models and shipped checkpoints. Names are loaded when first used; entries need no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qexplore.zoo.catalogue import entry, names
from qexplore.zoo.entries import ENTRIES, Entry

_WHERE = {
    "BadData": "qexplore.zoo.errors",
    "CheckpointError": "qexplore.zoo.errors",
    "Data": "qexplore.zoo.data",
    "Task": "qexplore.zoo.task",
}
__all__ = ["ENTRIES", "BadData", "CheckpointError", "Data", "Entry", "Task", "entry", "names"]

if TYPE_CHECKING:
    from qexplore.zoo.data import Data
    from qexplore.zoo.errors import BadData, CheckpointError
    from qexplore.zoo.task import Task


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'qexplore.zoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
