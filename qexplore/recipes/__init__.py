"""Recipes: what is done to a network, as data, and the verbs that do it. `schema` alone needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qexplore.recipes.schema import BadRecipe, Recipe, StepSetting, presets

if TYPE_CHECKING:
    from qexplore.recipes.verbs import Result, run, sensitivity

__all__ = ["BadRecipe", "Recipe", "Result", "StepSetting", "presets", "run", "sensitivity"]


def __getattr__(name: str) -> Any:
    if name in ("Result", "run", "sensitivity"):
        from qexplore.recipes import verbs

        return getattr(verbs, name)
    raise AttributeError(f"module 'qexplore.recipes' has no attribute {name!r}")
