"""Works on when the slider rests: the exact optimum, then the measured accuracy, and redraws when there is news."""

from __future__ import annotations

import streamlit as st

from qexplore.ui.budgets.answers import Found, Question, find
from qexplore.ui.sentence import sentence

_EVERY = 0.25  # seconds; a slider that has not moved for so long rests


def watch(question: Question, drawn: Found) -> None:
    """Asks for what `drawn` lacks, a few times a second until all is known; a page that lacks nothing asks nothing."""
    looks = []

    @st.fragment(run_every=_EVERY if drawn.pending else None)
    @sentence()
    def look() -> None:
        looks.append(1)
        if not drawn.pending or len(looks) == 1:  # the first look comes with the drawing itself
            return
        now = find(question, ask=True)
        if not now.pending or now.answer.bits != drawn.answer.bits:
            st.rerun()

    look()
