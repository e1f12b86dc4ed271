"""What to try next: from the culprit to the setting, on the page that has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from qexplore.figures.words import small
from qexplore.runs.profiles import Profile
from qexplore.ui.onward import onward
from qexplore.ui.post_training.flow import culprits

_CHANNELS = ("unbalanced-channels", "outlier-channel")  # causes that no other range for the whole tensor cures


def leads(profile: Profile, document: Mapping[str, Any], picked: str | None = None) -> None:
    """Draws the way on from the site that was picked, else from the worst culprit of a diagnosis."""
    rows = {str(row["site"]): row for row in document["sites"]}
    guilty = [site for site in (picked, *culprits(document)) if site in rows]
    worst = guilty[0] if guilty else max(rows, key=lambda site: float(rows[site]["divergence"]))
    row, task = rows[worst], {"task": profile.task, "site": worst}
    harm = f"moves the answers by {small(float(row['divergence']))} nats at {int(row['bits'])} bits"
    bits = {"b": str(int(row["bits"]))}
    causes = {str(one["site"]): str(one["cause"]) for one in document["findings"]}
    apart = causes.get(worst) in _CHANNELS
    ask = "see its channels before and after equalization." if apart else "would another range serve it better?"
    st.markdown("**What to try next**")
    with st.container(border=True, key="leads"):
        onward(f"**{worst}** {harm}: {ask}", "ranges", "Open in Ranges", {**task, **bits})
        onward(
            "See its values on their grid, and what clipping and rounding cost.", "quantizer", "Open in Quantizer", task
        )
        lock = {"lock": f"{int(row['index'])}:8"}
        onward("Keep it at 8 bits and let the search spend the rest.", "budgets", "Open in Budgets", {**task, **lock})
        onward("Compare it with every other site at every bit width.", "sensitivity", "Open in Sensitivity", task)
