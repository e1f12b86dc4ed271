"""Which recipe the page is about: the one picked, less what is switched off, or one of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from qexplore.errors import QexploreError
from qexplore.recipes import Recipe, presets
from qexplore.ui.post_training.address import pack, unpack

PIPELINES = ("standard", "data-free", "corrected", "plain")
FORMATS = {"W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4)}
GRANULARITIES = ("tensor", "channel")


@dataclass(frozen=True)
class Choice:
    """What the address says.

    picked: the recipe of the pickers; plain: the same bits and granularity without any optional step.
    off: optional steps that are switched off. own: a recipe laid over the pickers, such as a fix; before: what it was
    made of.
    """

    picked: Recipe
    plain: Recipe
    off: tuple[str, ...] = ()
    own: Recipe | None = None
    before: Recipe | None = None

    @property
    def complete(self) -> Recipe:
        """The recipe with every switch on."""
        return self.own or self.picked

    @property
    def recipe(self) -> Recipe:
        """The recipe as it is switched."""
        return without(self.complete, self.off)


def preset_name(pipeline: str, form: str, granularity: str) -> str:
    """The name that a preset of this kind has: 'standard-w4a4-per-tensor'."""
    pipe = "" if pipeline == "plain" else f"{pipeline}-"
    return f"{pipe}{form.lower()}{'-per-tensor' if granularity == 'tensor' else ''}"


@cache
def recipe_of(pipeline: str, form: str, granularity: str) -> Recipe:
    """The preset of this kind; where there is none, another of the same pipeline with these bits and granularity."""
    name = preset_name(pipeline, form, granularity)
    if name in presets():
        return Recipe.load(name)
    start = "w" if pipeline == "plain" else f"{pipeline}-w"
    base = Recipe.load(next(known for known in presets() if known.startswith(start)))
    weights, activations = FORMATS[form]
    bits = {"weights.bits": weights, "activations.bits": activations, "weights.granularity": granularity}
    return replace(base.with_settings(bits), name=name, title="")


def available() -> list[str]:
    """Pipelines of which there is a preset."""
    return [pipe for pipe in PIPELINES if any(name.startswith(f"{pipe}-w") for name in presets()) or pipe == "plain"]


def without(recipe: Recipe, off: Iterable[str]) -> Recipe:
    """A recipe less these steps, named so; the recipe itself where none is left out."""
    left_out = [step for step in dict.fromkeys(recipe.optional) if step in set(off)]
    if not left_out:
        return recipe
    return replace(recipe.without(left_out), name=f"{recipe.name} without {', '.join(left_out)}", title="")


def word(recipe: Recipe) -> Any:
    """How a run is told of a recipe: the name of a preset, else its document."""
    return recipe.name if _is_preset(recipe.name, repr(recipe)) else recipe.to_document()


@cache
def _is_preset(name: str, shown: str) -> bool:
    return name in presets() and repr(Recipe.load(name)) == shown


def read_own(text: str | None) -> tuple[Recipe | None, Recipe | None]:
    """The recipe of one's own in an address, and the one it was made of; QexploreError where it cannot be read."""
    if not text:
        return None, None
    document = unpack(text)
    own, before = document.get("recipe"), document.get("before")
    if not isinstance(own, dict):
        raise QexploreError("The address holds no recipe: pick one.")
    return Recipe.load(own), Recipe.load(before) if isinstance(before, dict) else None


def write_own(own: Recipe, before: Recipe | None) -> str:
    """Both as the address holds them."""
    document: dict[str, Any] = {"recipe": own.to_document()}
    return pack(document | ({"before": before.to_document()} if before else {}))
