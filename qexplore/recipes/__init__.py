"""Recipes: what is done to a network, as data, and the verbs that do it. `schema` alone needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from qexplore.recipes.schema import POST_TRAINING, TRAINING, BadRecipe, Recipe, StepSetting, presets

if TYPE_CHECKING:
    from qexplore.recipes.ablation import ablate
    from qexplore.recipes.verbs import Result, run, sensitivity

__all__ = [
    "POST_TRAINING",
    "TRAINING",
    "BadRecipe",
    "Recipe",
    "Result",
    "StepSetting",
    "ablate",
    "presets",
    "run",
    "sensitivity",
]
_WHERE = {"Result": "verbs", "ablate": "ablation", "run": "verbs", "sensitivity": "verbs"}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"qexplore.recipes.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'qexplore.recipes' has no attribute {name!r}")
