"""Changes of a recipe that repair one thing each; they can be made one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qexplore.recipes import Recipe, StepSetting
from qexplore.registry import key_of

SPELT = 4  # of several changes at once, those that the label spells out


@dataclass(frozen=True)
class Edit:
    """What is changed, in words, and the change."""

    label: str
    apply: Callable[[Recipe], Recipe]


def site_bits(site: str, bits: int) -> Edit:
    return Edit(f"{bits} bits for {site}", lambda recipe: _own(recipe, site, lambda own: {**own, "bits": bits}))


def site_method(site: str, method: str, options: Mapping[str, Any]) -> Edit:
    """Another range estimator for one site; a range by hand goes."""
    words = "".join(f" ({value})" for value in options.values())

    def change(own: Mapping[str, Any]) -> dict[str, Any]:
        kept = {"bits": own["bits"]} if "bits" in own else {}
        return {**kept, "method": method, **options}

    return Edit(f"range of {site} by {method}{words}", lambda recipe: _own(recipe, site, change))


def site_like_others(site: str, keys: Sequence[str]) -> Edit:
    """Drops what a recipe sets for one site under `keys`."""
    what = "bits" if list(keys) == ["bits"] else "range"

    def change(own: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in own.items() if key not in keys}

    return Edit(f"{what} of {site} as for the other sites", lambda recipe: _own(recipe, site, change))


def settings(label: str, changed: Mapping[str, Any]) -> Edit:
    return Edit(label, lambda recipe: recipe.with_settings(changed))


def inserted(label: str, steps: Sequence[StepSetting], after: str) -> Edit:
    """New steps behind the step `after` (else in front); those that the recipe has already stay where they are."""

    def apply(recipe: Recipe) -> Recipe:
        have = [key_of(step.name) for step in recipe.steps]
        new = tuple(step for step in steps if key_of(step.name) not in have)
        at = have.index(key_of(after)) + 1 if key_of(after) in have else 0
        return replace(recipe, steps=(*recipe.steps[:at], *new, *recipe.steps[at:]))

    return Edit(label, apply)


def without(step: str) -> Edit:
    return Edit(f"without {step}", lambda recipe: recipe.without([step]))


def all_of(edits: Sequence[Edit]) -> Edit:
    """Several changes at once."""

    def apply(recipe: Recipe) -> Recipe:
        for edit in edits:
            recipe = edit.apply(recipe)
        return recipe

    labels = [edit.label for edit in edits]
    more = f"; and {len(labels) - SPELT} more" if len(labels) > SPELT else ""
    return Edit(f"all together: {'; '.join(labels[:SPELT])}{more}", apply)


def own_of(recipe: Recipe, site: str, aliases: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """The name under which `recipe` sets a site, and what it sets; aliases: other names, and the sites they mean."""
    names = [alias for alias, meant in aliases.items() if meant == site and alias in recipe.sites]
    name = names[0] if names and site not in recipe.sites else site
    return name, recipe.sites.get(name, {})


def _own(recipe: Recipe, site: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Recipe:
    own = change(recipe.sites.get(site, {}))
    rest = {name: kept for name, kept in recipe.sites.items() if name != site}
    return replace(recipe, sites={**rest, site: own} if own else rest)
