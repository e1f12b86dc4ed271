"""What a recipe without its optional steps keeps that the plain recipe does not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore.figures.words import percent
from qexplore.recipes import Recipe
from qexplore.ui.foreign import escaped
from qexplore.ui.post_training.choice import Choice, without


def kept(recipe: Recipe, plain: Recipe) -> list[str]:
    """Settings of `recipe`, all its optional steps off, that `plain` does not share: 'activation-ranges (logits:
    cross-entropy)'; none where both are the same recipe. BadRecipe where no step of `recipe` is left.
    """
    bare, other = _parts(without(recipe, recipe.optional)), _parts(plain)
    found = {name: _differing(own, other.get(name, {})) for name, own in bare.items()}
    return [f"{name} ({', '.join(told)})" for name, told in found.items() if told]


def apart(choice: Choice, table: pd.DataFrame | None) -> str:
    """A sentence that tells the plain recipe from the bar "no optional step"; nothing where they are the same recipe
    or no such bar is drawn.

    table: the ablation of the complete recipe, None where nobody has measured it.
    """
    if table is None or not choice.complete.optional:  # of steps that are all optional nobody has measured one
        return ""
    settings = kept(choice.complete, choice.plain)
    if not settings:
        return ""
    bare = percent(table.loc[table["group"] == "build-up", "accuracy"].iloc[0])
    return (
        f"The bar “no optional step” above ({bare}) is another recipe: it keeps {' and '.join(map(escaped, settings))}."
    )


def _parts(recipe: Recipe) -> dict[str, Mapping[str, Any]]:
    """What has settings, by its name on screen."""
    return {
        "the quantizers of weights": recipe.weights,
        "the quantizers of activations": recipe.activations,
        **{step.name: step.settings for step in recipe.steps},
        **recipe.sites,
    }


def _differing(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {value}" for name, value in own.items() if other.get(name) != value]
