"""A switch for every optional step; what is switched is measured when nobody has measured it yet."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from pandas import DataFrame

from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import escaped
from qexplore.ui.post_training import known
from qexplore.ui.post_training.choice import Choice
from qexplore.ui.sentence import toast
from qexplore.ui.work.watch import active, ask

ABOUT = {
    "replace-relu6": "ReLU6 becomes ReLU, so that channels can be scaled through it.",
    "equalize": "Scales channels so that the weights on both sides of an activation span equal ranges.",
    "absorb-high-bias": "Moves what a channel always carries into the bias of the next layer.",
    "adaround": "Learns for every weight whether it is rounded up or down, layer after layer.",
    "correct-bias": "Takes the mean error that quantized weights leave off the bias.",
}


def switches(profile: Profile, choice: Choice, table: DataFrame | None) -> None:
    """Draws the toggles; turning one asks for the accuracy of the recipe as it is then switched."""
    steps = list(dict.fromkeys(choice.complete.optional))
    if not steps:
        st.caption("This recipe has no optional step: it sets ranges and rounds. Pick another to see what steps buy.")
        return
    with st.container(horizontal=True, vertical_alignment="center", key="switches"):
        st.markdown("**steps**", width="content")
        for step in steps:
            key = f"on-{choice.complete.name}-{step}"
            st.session_state[key] = step not in choice.off
            st.toggle(
                escaped(step),
                key=key,
                help=ABOUT.get(step),
                on_change=_switch,
                args=(profile, choice, step, key, table),
            )
        if choice.off:
            st.button("All on", key="all-on", icon=":material/done_all:", type="tertiary", on_click=_all_on)


@toast()
def _switch(profile: Profile, choice: Choice, step: str, key: str, table: DataFrame | None) -> None:
    off = [name for name in choice.off if name != step] + ([] if st.session_state[key] else [step])
    switched = replace(choice, off=tuple(name for name in dict.fromkeys(choice.complete.optional) if name in off))
    if switched.off:
        st.query_params["off"] = ",".join(switched.off)
    else:
        _all_on()
    measure(profile, switched, table)


def _all_on() -> None:
    st.query_params.pop("off", None)


def measure(profile: Profile, choice: Choice, table: DataFrame | None) -> None:
    """Queues the recipe as it is switched unless it is measured or under way."""
    spec = known.spec_of("recipe", profile, choice.recipe)
    if known.variant(profile, choice, table) is None and not active([spec]):
        ask(spec)
