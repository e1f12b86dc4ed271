"""The live part of the Post-training page, redrawn alone."""

from __future__ import annotations

import streamlit as st

from qexplore.runs.profiles import Profile
from qexplore.ui.post_training import known
from qexplore.ui.post_training.applied import applied
from qexplore.ui.post_training.choice import Choice
from qexplore.ui.post_training.debugging import debugging
from qexplore.ui.post_training.keep import keep
from qexplore.ui.post_training.known import Known
from qexplore.ui.post_training.offer import offer, waiting
from qexplore.ui.post_training.picker import choose
from qexplore.ui.post_training.steps import steps, switched
from qexplore.ui.post_training.switches import switches
from qexplore.ui.sentence import sentence


@st.fragment
@sentence()
def bench(profile: Profile) -> None:
    """Recipe, switches, waterfall, flowchart, and ways to take the recipe away."""
    choice = choose(profile)
    applied(profile, choice)
    found = known.ablation(profile, choice.complete)
    switches(profile, choice, found.value if found else None)
    _switched(profile, choice, found)
    if found is not None:
        steps(profile, choice, found)
    else:
        offer(profile, choice.complete)
    keep(profile, choice)
    debugging(profile, choice, found.value if found else None)


def _switched(profile: Profile, choice: Choice, found: Known | None) -> None:
    """The recipe as it is switched: its accuracy, or how far its measurement is."""
    if not choice.off:
        return
    now = known.variant(profile, choice, found.value if found else None)
    if now is not None:
        st.markdown(switched(choice, now))
    else:
        waiting(profile, choice.recipe, "variant")
