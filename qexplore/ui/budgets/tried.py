"""What has been measured in this visit, so that one sees where one has been."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qexplore.runs.profiles import Profile
from qexplore.ui.budgets.answers import Found

_MOST = 60


def remember_tried(profile: Profile, found: Found) -> None:
    """Keeps an allocation with its measured accuracy; what the profile knows already is not kept."""
    m = found.measured
    if m is None or m.seconds is None:
        return
    cost = found.answer.cost
    label = f"tried {cost['weight_bits']:.2f} / {cost['activation_bits']:.2f}"
    row = {"label": label, **cost, "accuracy": m.value, "low": m.low, "high": m.high, "images": m.images}
    rows = st.session_state.get(_key(profile), [])
    if row not in rows:
        st.session_state[_key(profile)] = [*rows, row][-_MOST:]


def tried(profile: Profile) -> pd.DataFrame:
    """The rows kept before, with the columns of the profile's points."""
    return pd.DataFrame(st.session_state.get(_key(profile), []))


def _key(profile: Profile) -> str:
    """With the making of the profile: what was tried beside an older one is no point of this one."""
    return f"tried {profile.task} {profile.header['created']}"
