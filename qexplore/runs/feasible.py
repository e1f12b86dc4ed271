"""Whether the budget of a recipe can be met on a task, said from its stored profile before a run is queued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore.allocate import Budget, require_feasible
from qexplore.allocate.budget import LIMITS
from qexplore.allocate.feasible import MENU
from qexplore.errors import QexploreError
from qexplore.recipes import Recipe
from qexplore.recipes.schema import FIRST, LAST
from qexplore.registry import key_of
from qexplore.runs.profiles import Profile

ALLOCATES = ("allocate-bits", "qbitopt")  # steps that give sites their bits within a budget


def refusal(profile: Profile, recipe: Recipe) -> str:
    """The sentence with which a step of the recipe would refuse its budget on this task; nothing where it would not.

    It is the step's own check, on the sites of the profile. Left to the run are recipes that prune first, whose
    weights cost less, and what is set for the logits, or for no-macs, under that name.
    """
    if any(key_of(step.name) == key_of("prune") for step in recipe.steps):
        return ""
    for step in recipe.steps:
        if key_of(step.name) in [key_of(name) for name in ALLOCATES]:
            try:
                _check(profile, recipe, step.settings)
            except QexploreError as error:
                return str(error)
    return ""


def _check(profile: Profile, recipe: Recipe, settings: Mapping[str, Any]) -> None:
    limits = {name: float(settings[name]) for name in LIMITS if settings.get(name)}  # 0 is no limit
    least, most = (int(settings.get(name, bits)) for name, bits in zip(("least", "most"), MENU, strict=True))
    sites = profile.sites[profile.sites["bits"].notna()]  # neither opaque parts nor what stays real
    require_feasible(sites, range(least, most + 1), Budget(**limits), locked=_own_bits(recipe, sites))


def _own_bits(recipe: Recipe, sites: pd.DataFrame) -> dict[str, int]:
    """Bits that the recipe gives to single sites, as far as these are known by their names, or as first and last."""
    weights = sites.loc[sites["kind"] == "weight", "site"].tolist()
    ends = {FIRST: weights[0], LAST: weights[-1]} if weights else {}
    known = {**ends, **{name: name for name in sites["site"]}}
    told = {name: own["bits"] for name, own in recipe.sites.items() if own.get("bits") is not None}
    return {known[name]: int(bits) for name, bits in told.items() if name in known}
