"""What has not been measured yet: one button that queues it, how long it takes, and what will appear."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qexplore.figures.words import roughly
from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import escaped
from qexplore.ui.post_training import known
from qexplore.ui.work.watch import active, ask, watch

_LEARNS = 12  # seconds that learned rounding takes on a network of the zoo, on a slow core
_REST = 1.5  # seconds for all other steps together, and the evaluation


def about(recipe: Recipe) -> str:
    """How long an ablation of a recipe takes on a network of the zoo, in words."""
    steps = list(dict.fromkeys(recipe.optional))
    rows = 2 * len(steps) + 3
    learned = (len(steps) + 2) if "adaround" in steps else 0
    return roughly(rows * _REST + learned * _LEARNS)


def offer(profile: Profile, recipe: Recipe) -> None:
    """Where no ablation is stored: the button that measures it."""
    spec = known.spec_of("ablation", profile, recipe)
    with st.container(border=True, key="offer"):
        st.markdown(
            f"**{escaped(recipe.name)} has not been measured step by step on this task.** Once measured, this shows "
            "the accuracy after each step as a waterfall, what leaving one out costs, weights alone, and activations "
            f"alone: {about(recipe)}."
        )
        button(spec, "Measure each step", ":material/waterfall_chart:", "measure-steps")
        watch([spec], key="ablation")


def waiting(profile: Profile, recipe: Recipe, key: str) -> None:
    """A recipe that is being measured, or could be."""
    spec = known.spec_of("recipe", profile, recipe)
    if not active([spec]):
        with st.container(horizontal=True, vertical_alignment="center", key=f"{key}-wait"):
            st.markdown(f"**{escaped(recipe.name)}** has not been measured.", width="content")
            button(spec, "Measure it", ":material/play_arrow:", f"measure-{key}")
    watch([spec], key=key)


def button(spec: dict[str, Any], label: str, icon: str, key: str) -> None:
    """A button that queues a run, off while it is under way; and why the last one failed, where it did."""
    failed = known.trouble(spec)
    if failed:
        st.error(escaped(failed), icon=":material/error:")
    st.button(label, icon=icon, key=key, disabled=bool(active([spec])), on_click=ask, args=(spec,), type="primary")
