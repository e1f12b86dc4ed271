"""Sliders and limits: what the visitor is willing to spend."""

from __future__ import annotations

import streamlit as st

from qexplore.allocate import Budget
from qexplore.ui.limits import LEAST, MOST, SMALLEST, ask_limits, tell_limits

KEYS = ("w", "a", "kb", "gbops", "lock")
START = {"w": 3.0, "a": 3.0}


def budget() -> tuple[Budget, str]:
    """Sliders for average bits, limits on KB and GBOPs, and the text of the locks; all live in the address."""
    ask_limits()
    weights, activations, more = st.columns([5, 5, 2], vertical_alignment="bottom")
    with weights:
        w = slider("average weight bits", "w", "Over all weights, counted by element. 8 is no limit.")
    with activations:
        a = slider("average activation bits", "a", "Over all activations of one image. 8 is no limit.")
    with more, st.popover("more limits", icon=":material/add:", width="stretch"):
        kb = _limit("KB of weights", "kb", "1 KB = 1000 bytes; weights at their bits, without biases and scales.")
        gbops = _limit(
            "GBOPs per image",
            "gbops",
            "Sum over layers of MACs × weight bits × activation bits, in 10⁹; products of two activations, as in "
            "attention, are left out.",
        )
        locks = st.text_input(
            "locked sites", key="lock", bind="query-params", placeholder="index:bits, such as 3:8 17:2"
        )
    tell_limits({"w": w, "a": a, "kb": kb, "gbops": gbops})
    return Budget(weight_bits=w, activation_bits=a, kb=kb, gbops=gbops), locks


def slider(label: str, key: str, about: str) -> float:
    """A budget of average bits; 8 is no limit. Its key is its name in the address."""
    value = st.slider(label, LEAST, MOST, START[key], 0.1, format="%.1f", key=key, bind="query-params", help=about)
    return round(float(value), 2)


def _limit(label: str, key: str, about: str) -> float | None:
    value = st.number_input(
        label,
        min_value=SMALLEST[key],
        value=None,
        format="%.4g" if key == "kb" else "%.5f",
        step=1.0 if key == "kb" else 0.001,
        key=key,
        bind="query-params",
        placeholder="no limit",
        help=about,
    )
    return None if value is None else float(value)
