"""The pickers of a recipe, and the recipe of one's own that may lie over them."""

from __future__ import annotations

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import escaped
from qexplore.ui.post_training.choice import (
    FORMATS,
    GRANULARITIES,
    Choice,
    Own,
    available,
    read_own,
    recipe_of,
    write_own,
)

ABOUT = {
    "standard": "The white paper's pipeline with data: equalize, learn the rounding (AdaRound), set ranges. Whichever "
    "steps are on, the range of the logits is chosen by cross-entropy.",
    "data-free": "Touches no image: biases are corrected and activation ranges set from batch-norm statistics.",
    "corrected": "Equalization, bias absorption and bias correction: for depthwise networks with one range a tensor.",
    "plain": "Ranges and nothing else: the network as it is, on a grid.",
}
START = {"pipeline": "standard", "format": "W3A3", "ranges": "tensor"}
SHORTER = {**START, "format": "W8A8"}  # where the profile has measured less


def choose(profile: Profile) -> Choice:
    """The recipe that the address names, at first one that is measured; changing a picker leaves steps switched on and
    own recipes behind.
    """
    start = first_of(profile)
    first, second, third = st.columns([4, 3, 3], vertical_alignment="bottom")
    with first:
        pipeline = _pick(
            "pipeline", available(), "\n\n".join(f"**{name}**: {text}" for name, text in ABOUT.items()), start
        )
    with second:
        form = _pick("format", list(FORMATS), "Bits of weights and of activations.", start, "bits")
    with third:
        ranges = _pick(
            "ranges",
            list(GRANULARITIES),
            "Whether a weight tensor has one range, or one for each output channel.",
            start,
            "a weight range for each",
        )
    picked, plain = recipe_of(pipeline, form, ranges), recipe_of("plain", form, ranges)
    own = _own()
    return Choice(picked, plain, _off(own.recipe if own else picked), own)


def first_of(profile: Profile) -> dict[str, str]:
    """The pickers' first state: what is hardest, if the profile has its steps; else what every profile begins with."""
    hardest = recipe_of(START["pipeline"], START["format"], START["ranges"]).name
    return START if (profile.ablation["recipe"] == hardest).any() else SHORTER


def _pick(key: str, options: list[str], about: str, first: dict[str, str], label: str = "") -> str:
    start = first[key] if first[key] in options else options[0]
    chosen = st.segmented_control(
        label or key,
        options,
        default=start,
        required=True,
        key=key,
        bind="query-params",
        on_change=forget,
        help=about,
    )
    return str(chosen or start)  # an empty word in the address picks nothing


def forget() -> None:
    """Leaves switches and the recipe of one's own behind."""
    for key in ("off", "recipe"):
        st.query_params.pop(key, None)


def apply(own: Own) -> None:
    """Makes a recipe the one that the page is about, with all its steps on."""
    forget()
    st.query_params["recipe"] = write_own(own)


def _own() -> Own | None:
    try:
        return read_own(st.query_params.get("recipe"))
    except QexploreError as error:
        st.warning(escaped(str(error)), icon=":material/link_off:")
        return None


def _off(recipe: Recipe) -> tuple[str, ...]:
    """The optional steps that the address switches off, those of them that the recipe has."""
    named = str(st.query_params.get("off", "")).split(",")
    return tuple(step for step in dict.fromkeys(recipe.optional) if step in named)
