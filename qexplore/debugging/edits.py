"""Changes of a recipe that repair one thing each; they can be made one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qexplore.ptq import STEPS
from qexplore.recipes import Recipe, StepSetting
from qexplore.recipes.carry_out import role
from qexplore.recipes.settings import defaults_of
from qexplore.registry import key_of

SET_BITS = "set-bits"
SPELT = 4  # of several changes at once, those that the label spells out


@dataclass(frozen=True)
class Edit:
    """What is changed, in words, and the change."""

    label: str
    apply: Callable[[Recipe], Recipe]


def site_bits(site: str, bits: int, name: str) -> Edit:
    """Other bits for one site, which the network calls `name`; those by 'set-bits' go."""

    def apply(recipe: Recipe) -> Recipe:
        return _unset(_own(recipe, site, lambda own: {**own, "bits": bits}), [name])

    return Edit(f"{bits} bits for {site}", apply)


def kind_bits(kind: str, bits: int, names: Sequence[str]) -> Edit:
    """Other bits for all weights or all activations; those by 'set-bits' go for the sites `names`."""
    changed = {f"{kind}s.bits": bits}
    return Edit(f"{bits} bits for all {kind}s", lambda recipe: _unset(recipe.with_settings(changed), names))


def site_method(site: str, method: str, options: Mapping[str, Any]) -> Edit:
    """Another range estimator for one site; a range by hand goes."""
    words = "".join(f" ({value})" for value in options.values())

    def change(own: Mapping[str, Any]) -> dict[str, Any]:
        kept = {"bits": own["bits"]} if "bits" in own else {}
        return {**kept, "method": method, **options}

    return Edit(f"range of {site} by {method}{words}", lambda recipe: _own(recipe, site, change))


def site_like_others(site: str, keys: Sequence[str], name: str) -> Edit:
    """Drops what a recipe sets under `keys` for one site, which the network calls `name`; bits by 'set-bits' too."""
    what = "bits" if list(keys) == ["bits"] else "range"

    def change(own: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in own.items() if key not in keys}

    def apply(recipe: Recipe) -> Recipe:
        return _unset(_own(recipe, site, change), [name] if "bits" in keys else [])

    return Edit(f"{what} of {site} as for the other sites", apply)


def settings(label: str, changed: Mapping[str, Any]) -> Edit:
    return Edit(label, lambda recipe: recipe.with_settings(changed))


def step_method(label: str, step: str, changed: Mapping[str, Any]) -> Edit:
    """Another range estimator, and what goes with it, for a step that sets ranges; options of the old one go."""

    def apply(recipe: Recipe) -> Recipe:
        steps = tuple(_without_options(one) if one.name == step else one for one in recipe.steps)
        return replace(recipe, steps=steps).with_settings({f"{step}.{key}": value for key, value in changed.items()})

    return Edit(label, apply)


def inserted(label: str, steps: Sequence[StepSetting], after: Sequence[str]) -> Edit:
    """New steps behind the last of the steps `after`, which are roles in the order of steps (else in front); those that
    the recipe has already stay where they are.
    """
    behind = {key_of(name) for name in after}

    def apply(recipe: Recipe) -> Recipe:
        have = [key_of(role(step)) for step in recipe.steps]
        new = tuple(step for step in steps if key_of(step.name) not in have)
        at = max((number for number, key in enumerate(have, 1) if key in behind), default=0)
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


def set_of(recipe: Recipe) -> dict[str, int]:
    """The bits that the step 'set-bits' gives to sites, by their names in the network."""
    return {name: bits for step in recipe.steps if _sets(step) for name, bits in step.settings.items()}


def _without_options(step: StepSetting) -> StepSetting:
    own = defaults_of(STEPS.get(step.name))
    return StepSetting(step.name, {key: value for key, value in step.settings.items() if key in own})


def _sets(step: StepSetting) -> bool:
    return key_of(step.name) == key_of(SET_BITS)


def _unset(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """The recipe without the bits that 'set-bits' gives to the sites `names`: it comes later than the key `sites`."""
    left = [
        StepSetting(step.name, {name: bits for name, bits in step.settings.items() if name not in names})
        if _sets(step)
        else step
        for step in recipe.steps
    ]
    return replace(recipe, steps=tuple(step for step in left if step.settings or not _sets(step)))


def _own(recipe: Recipe, site: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Recipe:
    own = change(recipe.sites.get(site, {}))
    rest = {name: kept for name, kept in recipe.sites.items() if name != site}
    return replace(recipe, sites={**rest, site: own} if own else rest)
