"""Waits for an answer that is being worked out, and redraws when it is there."""

from __future__ import annotations

import streamlit as st

from qexplore.ui.budgets.answers import Found

_EVERY = 0.25  # seconds


def watch(found: Found) -> None:
    """Looks for the pending answer a few times a second; a page without one asks nothing."""

    @st.fragment(run_every=_EVERY if found.pending else None)
    def look() -> None:
        if found.waiting is not None and found.waiting.done():
            st.rerun()

    look()
