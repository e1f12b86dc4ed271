"""The range moved by hand: the Quantizer's view with the site's own grid."""

from __future__ import annotations

import streamlit as st

from qexplore.ui.navigation import write_address
from qexplore.ui.quantizer import quantizer
from qexplore.ui.ranges.choice import Choice, Ends, rounded, write_hand


def by_hand(choice: Choice) -> Ends | None:
    """Draws the view; returns the range of the address, or the one that a hand has just set."""
    stored = choice.ends_of(choice.stored)
    low, high = choice.ends or stored
    side = choice.profile.recipe["weights" if choice.row["kind"] == "weight" else "activations"]
    symmetric = bool(side.get("symmetric", choice.row["kind"] == "weight"))
    start = {
        "kind": "symmetric" if symmetric else "asymmetric",
        "powerOfTwo": bool(side.get("power_of_two")),
        "bits": choice.bits,
        "low": min(low, 0.0),
        "high": max(high, 0.0),
    }
    st.caption(
        f"Drag the two ends; when you let go the network is measured. {choice.stored} chose {stored[0]:.3g} to "
        f"{stored[1]:.3g}."
        + (" This weight has one range a channel: yours holds for all channels alike." if choice.per_channel else "")
        + _of_how_many(choice)
    )
    key = f"hand {choice.profile.task} {choice.profile.header['created']} {choice.site} {choice.bits}"
    changed = quantizer(choice.profile.tensor(choice.site), choice.site, stored, start, key=key, fixed=True)
    if changed is None or changed["low"] >= changed["high"]:
        return choice.ends
    ends = rounded((float(changed["low"]), float(changed["high"])))
    write_address("hand", write_hand(int(choice.row["index"]), ends))
    return ends


def _of_how_many(choice: Choice) -> str:
    if not choice.sampled:
        return ""
    return f" Errors by hand, here and in the table, are of {choice.sampled:,} values; those of estimators of all."
