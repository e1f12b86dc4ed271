"""What to try next with the picked site."""

from __future__ import annotations

import streamlit as st

from qexplore.figures import ranges as figures
from qexplore.ui.onward import onward
from qexplore.ui.post_training.choice import Own, write_own
from qexplore.ui.quantizer import write_state
from qexplore.ui.ranges.choice import HAND, Choice
from qexplore.ui.ranges.keep import recipe


def leads(choice: Choice) -> None:
    """Draws the ways on."""
    task = {"task": choice.profile.task, "site": choice.site}
    st.markdown("**What to try next**")
    with st.container(border=True):
        _grid(choice, task)
        index = int(choice.row["index"])
        onward(
            f"Give site {index} more bits instead of a better range: keep it at 8 and let the search spend the rest.",
            "budgets",
            "Open in Budgets",
            {**task, "lock": f"{index}:8"},
        )
        _recipe(choice)
        _equalize(choice)


def _grid(choice: Choice, task: dict[str, str]) -> None:
    by = choice.by if choice.by != HAND else choice.stored
    low, high = choice.ends if choice.by == HAND and choice.ends else choice.ends_of(by)
    kind = "symmetric" if choice.row["kind"] == "weight" else "asymmetric"
    state = {"kind": kind, "powerOfTwo": False, "bits": choice.bits, "low": min(low, 0.0), "high": max(high, 0.0)}
    onward(
        f"See where each value lands on the {2**choice.bits} points of this grid.",
        "quantizer",
        "Open in Quantizer",
        {**task, "grid": write_state(int(choice.row["index"]), state)},
    )


def _recipe(choice: Choice) -> None:
    if choice.by == HAND and choice.ends is None:
        return
    made = recipe(choice).called(f"{choice.profile.recipe['name']} with a range of its own")
    label = f"{choice.by} for site {choice.row['index']} at {choice.bits} bits"
    onward(
        "Carry the whole recipe out with this range: its steps one by one, and what debugging says of it.",
        "post_training",
        "Open in Post-training",
        {"task": choice.profile.task, "recipe": write_own(Own(made, label))},
    )


def _equalize(choice: Choice) -> None:
    table = choice.profile.channels
    if choice.row["kind"] != "weight" or not figures.touched(table, choice.site):
        return
    onward(
        "Let equalization even out its channels, and see what that step buys with one range a tensor.",
        "post_training",
        "Open in Post-training",
        {"task": choice.profile.task, "pipeline": "corrected", "format": "W8A8", "ranges": "tensor"},
    )
