"""The Ranges page's live part: everything that answers a choice, redrawn alone."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from qexplore.runs.profiles import Profile
from qexplore.ui.bench import DESK, warm
from qexplore.ui.desk import desk
from qexplore.ui.foreign import escaped
from qexplore.ui.ranges import estimators, overview
from qexplore.ui.ranges.answers import Found, find, question
from qexplore.ui.ranges.choice import HAND, Choice
from qexplore.ui.ranges.controls import choose
from qexplore.ui.ranges.hand import by_hand
from qexplore.ui.ranges.keep import keep
from qexplore.ui.ranges.leads import leads
from qexplore.ui.ranges.numbers import headline, numbers
from qexplore.ui.sentence import sentence

_EVERY = 0.25  # seconds between two looks while something is measured


@st.fragment
@sentence()
def bench(profile: Profile) -> None:
    """Controls, numbers, the site's estimators, and the rest of the network."""
    warm()
    choice = choose(profile)
    above = st.container()
    left, right = st.columns([1.45, 1], gap="medium")
    with left:
        if choice.by == HAND:
            choice = replace(choice, ends=by_hand(choice))
        else:
            estimators.picture(choice)
    found = find(choice)
    with above:
        headline(choice, found)
        numbers(choice, found)
        if found.trouble:
            _trouble(choice, found)
    with right:
        estimators.outcomes(choice, found)
        if choice.by == HAND:
            estimators.picture(choice)
    estimators.numbers(choice, found)
    keep(choice)
    overview.beyond(choice)
    leads(choice)
    _watch(choice, found)  # last: a fragment that draws nothing clears what follows it when it runs again


def _watch(choice: Choice, drawn: Found) -> None:
    """Looks a few times a second until the measurement is there; a page that lacks nothing asks nothing."""

    @st.fragment(run_every=_EVERY if drawn.pending else None)
    @sentence()
    def look() -> None:
        if drawn.pending and not find(choice).pending:
            st.rerun()

    look()


def _trouble(choice: Choice, found: Found) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(escaped(found.trouble), icon=":material/warning:")
        st.button("Try again", on_click=lambda: desk(*DESK).forget(question(choice)), key="again")
