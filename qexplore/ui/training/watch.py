"""A training while it works, and what can be done with it: pause, cancel, go on."""

from __future__ import annotations

from typing import Any, Literal

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.recipes import Recipe
from qexplore.runs import Run
from qexplore.ui.foreign import escaped
from qexplore.ui.sentence import toast
from qexplore.ui.stored import store
from qexplore.ui.training.known import Known
from qexplore.ui.training.recipes import remedy
from qexplore.ui.training.start import queue, show
from qexplore.ui.work.words import ICONS, progress, went_on

_TOLD = {
    "paused": "Paused; Resume goes on from here.",
    "cancelled": "Cancelled; what it has learned is kept.",
    "lost": "Its process is gone; what it has learned is kept.",
}
_RESUMED = {
    "paused": "Paused, and resumed since.",
    "cancelled": "Cancelled, and resumed since.",
    "lost": "Its process is gone; it was resumed since.",
}
_EMPTY = {
    "paused": "Paused before it had learned anything.",
    "cancelled": "Cancelled before it had learned anything.",
    "lost": "Its process is gone, and nothing was learned yet.",
}


def standing(one: Known) -> None:
    """How far an active training is, or why one came to no end, with the buttons that apply."""
    run = one.run
    if run is None or run.state == "done":
        return
    if run.active:
        _working(run)
    else:
        _stopped(run)


def _working(run: Run) -> None:
    asked = run.stop_asked is not None
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="working"):
        st.progress(run.fraction, text=f"{ICONS[run.state]} {escaped(progress(run))}", width="stretch")
        pause, cancel = ":material/pause_circle:", ":material/stop_circle:"
        if run.state == "running":
            label = "Pausing …" if run.pause_asked and not run.cancel_asked else "Pause"
            st.button(label, icon=pause, key="pause", disabled=asked, on_click=_pause, args=(run.id,))
        label = "Cancelling …" if run.cancel_asked else "Cancel"
        off = bool(run.cancel_asked)
        st.button(label, icon=cancel, key="cancel", disabled=off, on_click=_cancel, args=(run.id,))


def _stopped(run: Run) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="stopped"):
        kept, after = bool(store().checkpoints(run.id)), store().successor(run.id)
        told = _RESUMED if after is not None else _TOLD if kept else _EMPTY
        text = run.error if run.state == "failed" else told.get(run.state, run.error or run.state)
        st.markdown(f"{ICONS.get(run.state, '')} {escaped(text or '')}", width="stretch")
        changes = _remedy(run)
        if changes:
            listed = ", ".join(f"{key.partition('.')[2]} {value:g}" for key, value in changes.items())
            label = f"Start again with {listed}"
            st.button(label, icon=":material/healing:", key="remedy", type="primary", on_click=_mend, args=(run,))
        if after is not None:
            icon = ":material/arrow_forward:"  # a button: a link to the page that is open leaves its address as it was
            st.button(went_on(after), icon=icon, key="went-on", type="tertiary", on_click=show, args=(after.id,))
            return
        resume = "Resume" if kept else "Start again"
        kind: Literal["primary", "secondary"] = "secondary" if changes else "primary"
        st.button(resume, icon=":material/resume:", key="resume", type=kind, on_click=_resume, args=(run.id,))


def _remedy(run: Run) -> dict[str, Any]:
    """Settings that the error of a run proposes for the next attempt."""
    try:
        return remedy(Recipe.load(run.spec["recipe"]), run.error or "") if run.state == "failed" else {}
    except QexploreError:
        return {}


@toast()
def _mend(run: Run) -> None:
    recipe, changes = Recipe.load(run.spec["recipe"]), _remedy(run)
    mended = recipe.with_settings(changes).called(f"{recipe.name} mended")
    queue({**run.spec, "recipe": mended.to_document()})


@toast()
def _pause(run_id: str) -> None:
    """Ends a run, to be resumed where it was."""
    store().ask_pause(run_id)


@toast()
def _cancel(run_id: str) -> None:
    store().ask_cancel(run_id)


@toast()
def _resume(run_id: str) -> None:
    show(store().resume(run_id))
