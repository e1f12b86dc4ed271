"""The Training page: what a training recovers, the way to start one, and all that it tells while it goes on."""

from __future__ import annotations

import streamlit as st

from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import escaped
from qexplore.ui.sentence import sentence
from qexplore.ui.training.answer import answer
from qexplore.ui.training.curves import curves
from qexplore.ui.training.known import Known, known, opened, training_of
from qexplore.ui.training.origin import origin
from qexplore.ui.training.start import show, start
from qexplore.ui.training.views import views
from qexplore.ui.training.watch import standing

_EVERY = 1.0  # seconds


def bench(profile: Profile) -> None:
    """The training that is shown: what it recovers, the way to start another, and all that it has told."""
    one = _shown(profile.task)
    if one is None:
        _nothing()
        start(profile)
        return
    before, wanted, pace = one.state, st.query_params.get("run"), _EVERY if one.active else None

    @st.fragment(run_every=pace)
    @sentence()
    def head() -> None:
        now = _again(profile.task, one)
        if now is None or now.state != before or st.query_params.get("run") != wanted:
            st.rerun()
        answer(now, training_of(now))
        with st.container():  # always there: an element that comes and goes would make its neighbours anew
            standing(now)

    @st.fragment(run_every=pace)
    @sentence()
    def body() -> None:
        now = _again(profile.task, one)
        if now is None:  # the head has the page drawn anew
            return
        training = training_of(now)
        if training.stages:
            curves(training)
            views(profile, now, training)
        origin(now)

    head()
    start(profile)
    body()


def _shown(task: str) -> Known | None:
    """The picker of the training that is shown; None where there is none."""
    found = {each.id: each for each in known(task)}
    one = opened(list(found.values()), st.query_params.get("run"))
    if one is None:
        return None
    wanted = st.query_params.get("run")
    if wanted and wanted != one.id:
        asked = escaped(repr(wanted[:60]))
        st.warning(f"There is no training {asked} of this task; this is {one.id}.", icon=":material/link_off:")
    st.session_state["training-shown"] = one.id
    st.selectbox(
        "showing",
        list(found),
        key="training-shown",
        format_func=lambda name: found[name].label,
        on_change=lambda: show(st.session_state["training-shown"]),
    )
    return one


def _again(task: str, one: Known) -> Known | None:
    """The training as it is now, None where it was deleted; a recording stays what it is."""
    if one.run is None or not one.active:
        return one
    return next((each for each in known(task) if each.id == one.id), None)


def _nothing() -> None:
    with st.container(border=True, key="no-training"):
        st.markdown(
            "**This network has not been trained here yet.** Pick a recipe below and start it. This page then shows "
            "the accuracy before and after, both curves while they grow, the bits and ranges that are learned, and "
            "what oscillates."
        )
        st.caption(
            "It works in the background, at low priority: close the page and come back, pause it, or let it go on "
            "tomorrow from its last checkpoint."
        )
