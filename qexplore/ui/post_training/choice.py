"""Which recipe the page is about: the one picked, less what is switched off, or one of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from qexplore.recipes import POST_TRAINING, Recipe, presets
from qexplore.ui.post_training.address import BadLink, pack, unpack

PIPELINES = ("standard", "data-free", "corrected", "plain")
FORMATS = {"W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4), "W3A3": (3, 3)}
GRANULARITIES = ("tensor", "channel")
_LONGEST = 80  # letters of a label


@dataclass(frozen=True)
class Own:
    """A recipe of one's own: what makes it so, and the recipe that it was made of, where there is one."""

    recipe: Recipe
    label: str = ""
    before: Recipe | None = None


@dataclass(frozen=True)
class Choice:
    """What the address says.

    picked: the recipe of the pickers; plain: the same bits and granularity, ranges and nothing else.
    off: optional steps that are switched off. own: a recipe laid over the pickers, such as a repair.
    """

    picked: Recipe
    plain: Recipe
    off: tuple[str, ...] = ()
    own: Own | None = None

    @property
    def complete(self) -> Recipe:
        """The recipe with every switch on."""
        return self.own.recipe if self.own else self.picked

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
    if name in presets(POST_TRAINING):
        return Recipe.load(name)
    start = "w" if pipeline == "plain" else f"{pipeline}-w"
    base = Recipe.load(next(known for known in presets(POST_TRAINING) if known.startswith(start)))
    weights, activations = FORMATS[form]
    bits = {"weights.bits": weights, "activations.bits": activations, "weights.granularity": granularity}
    return base.with_settings(bits).called(name)


def available() -> list[str]:
    """Pipelines of which there is a preset."""
    known = presets(POST_TRAINING)
    return [pipe for pipe in PIPELINES if any(name.startswith(f"{pipe}-w") for name in known) or pipe == "plain"]


def without(recipe: Recipe, off: Iterable[str]) -> Recipe:
    """A recipe less these steps, named so; the recipe itself where none is left out."""
    left_out = [step for step in dict.fromkeys(recipe.optional) if step in set(off)]
    if not left_out:
        return recipe
    return recipe.without(left_out).called(f"{recipe.name} without {', '.join(left_out)}")


def word(recipe: Recipe) -> Any:
    """How a run is told of a recipe: the name of a preset, else its document."""
    return recipe.name if _is_preset(recipe.name, repr(recipe)) else recipe.to_document()


@cache
def _is_preset(name: str, shown: str) -> bool:
    return name in presets(POST_TRAINING) and repr(Recipe.load(name)) == shown


def read_own(text: str | None) -> Own | None:
    """The recipe of one's own in an address; QexploreError where it cannot be read."""
    if not text:
        return None
    document = unpack(text)
    recipe, before = document.get("recipe"), document.get("before")
    if not isinstance(recipe, dict):
        raise BadLink("The address holds no recipe: pick one.")
    made_of = Recipe.load(before) if isinstance(before, dict) else None
    return Own(Recipe.load(recipe), str(document.get("label") or "")[:_LONGEST], made_of)


def write_own(own: Own) -> str:
    """A recipe of one's own as the address holds it."""
    document: dict[str, Any] = {"recipe": own.recipe.to_document(), "label": own.label}
    return pack(document | ({"before": own.before.to_document()} if own.before else {}))
