"""What has been measured in this visit, so that one sees where one has been."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qexplore.ui.budgets.answers import Found

_MOST = 60


def remember_tried(task: str, found: Found) -> None:
    """Keeps an allocation with its measured accuracy; what the profile knows already is not kept."""
    m = found.measured
    if m is None or m.seconds is None:
        return
    cost = found.answer.cost
    label = f"tried {cost['weight_bits']:.2f} / {cost['activation_bits']:.2f}"
    row = {"label": label, **cost, "accuracy": m.value, "low": m.low, "high": m.high, "images": m.images}
    rows = st.session_state.setdefault(f"tried {task}", [])
    if row not in rows:
        st.session_state[f"tried {task}"] = [*rows, row][-_MOST:]


def tried(task: str) -> pd.DataFrame:
    """The rows kept before, with the columns of a profile's points."""
    return pd.DataFrame(st.session_state.get(f"tried {task}", []))
