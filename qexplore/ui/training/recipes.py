"""A preset with a few settings of the visitor: the recipe, how a run is told of it, and its command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qexplore.recipes import Recipe
from qexplore.registry import key_of
from qexplore.ui.training.known import training_presets, training_steps

LIMITS = {"qw": "weight_bits", "qa": "activation_bits", "qkb": "kb", "qgbops": "gbops"}
"""Limits of a budget, by their names in the address: others than on Budgets, whose own follow into this address."""

_NONE = object()  # the value of a setting that a recipe does not have


@dataclass(frozen=True)
class Choice:
    """preset: its name. changes: settings in which the visitor's recipe differs, as `with_settings` takes them."""

    preset: str
    seed: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> Recipe:
        return training_presets()[self.preset]

    @property
    def recipe(self) -> Recipe:
        """The preset with the changes."""
        return self.base.with_settings(self.changes)

    @property
    def told(self) -> Any:
        """What a run is told: the preset's name, or the document of the changed recipe."""
        if not self.changes:
            return self.preset
        told = ", ".join(f"{key.partition('.')[2]}: {value}" for key, value in self.changes.items())
        return self.recipe.called(f"{self.preset} with {told}").to_document()

    def spec(self, task: str) -> dict[str, Any]:
        """The run of this recipe on a task."""
        return {"kind": "recipe", "task": task, "recipe": self.told, "seed": self.seed}


def choice_of(document: Mapping[str, Any], seed: int) -> Choice | None:
    """The preset that a changed recipe was made of, by its name, and its changes; None where they do not lead to it."""
    asked = Recipe.load(document)
    preset = asked.name.partition(" ")[0]
    own = training_presets().get(preset)
    if own is None:
        return None
    there, here = _settings(own), _settings(asked)
    choice = Choice(preset, seed, {key: value for key, value in here.items() if there.get(key, _NONE) != value})
    return choice if replace(choice.recipe, name=asked.name, title=asked.title) == asked else None


def _settings(recipe: Recipe) -> dict[str, Any]:
    """All that a recipe sets, by the keys of `with_settings`."""
    places = [("weights", recipe.weights), ("activations", recipe.activations)]
    places += [(step.name, step.settings) for step in recipe.steps]
    places += [(f"sites.{site}", own) for site, own in recipe.sites.items()]
    return {f"{place}.{key}": value for place, settings in places for key, value in settings.items()}


def setting(recipe: Recipe, step: str, name: str) -> Any:
    """The setting `name` that a recipe gives its step; None where it leaves it to the step."""
    for one in recipe.steps:
        if key_of(one.name) == key_of(step) and name in one.settings:
            return one.settings[name]
    return None


def main_step(recipe: Recipe) -> str:
    """The step that trains the quantized network, else the one that trains at all."""
    steps = training_steps(recipe)
    return next((step for step in steps if step != "prune"), steps[0])


def budget_of(recipe: Recipe) -> dict[str, float]:
    """The limits that a recipe sets, by their names in the address; nothing for recipes without a budget."""
    if main_step(recipe) != "qbitopt":
        return {}
    found = {key: setting(recipe, "qbitopt", limit) for key, limit in LIMITS.items()}
    return {key: float(value) for key, value in found.items() if value}  # 0 is no limit


def remedy(recipe: Recipe, error: str) -> dict[str, Any]:
    """The settings that the sentence of a training that diverged proposes for the step that it names, as
    `with_settings` takes them.
    """
    named = re.search(r"The training '(\w+)' diverged", error)
    steps = [step for step in training_steps(recipe) if named is None or step == named[1]]
    found = re.findall(r"\b(quantizer_rate|rate)=(\d[\d.]*(?:e-?\d+)?)", error)
    return {f"{step}.{name}": float(value.rstrip(".")) for step in steps for name, value in found}
