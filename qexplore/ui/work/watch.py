"""Active runs with their progress, live only while there are any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from qexplore.runs import ACTIVE, Run
from qexplore.ui.foreign import escaped
from qexplore.ui.sentence import sentence, toast
from qexplore.ui.stored import store
from qexplore.ui.work.words import ICONS, name, progress

_EVERY = 1.0  # seconds


@toast()
def ask(spec: dict[str, Any]) -> None:
    """Queues a run, for a button's on_click; says so, or why not."""
    store().submit(spec)


def active(specs: Sequence[dict[str, Any]] | None = None) -> list[Run]:
    """Runs that wait or work, the oldest first; with `specs`, only those of these specs."""
    runs = store().runs(limit=None, state=ACTIVE)
    return [run for run in reversed(runs) if specs is None or run.spec in list(specs)]


def watch(specs: Sequence[dict[str, Any]] | None = None, *, key: str = "watch") -> bool:
    """Draws the active runs, each with a button to cancel it, once a second; the page redraws when one has ended.

    Returns whether there are any.
    """
    before = [run.id for run in active(specs)]

    @st.fragment(run_every=_EVERY if before else None)
    @sentence()
    def look() -> None:
        now = active(specs)
        for run in now:
            card(run, key)
        if [run.id for run in now] != before:
            st.rerun()

    look()
    return bool(before)


def card(run: Run, key: str) -> None:
    """One active run: what it does, how far it is, how long it may take; buttons to end it and to pause a training."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.progress(
            run.fraction,
            text=f"{ICONS[run.state]} **{escaped(name(run))}** · {escaped(progress(run))}",
            width="stretch",
        )
        asked = run.stop_asked is not None
        if store().events(run.id, names=("training-started",), limit=1):
            label = "Pausing …" if run.pause_asked and not run.cancel_asked else "Pause"
            _button(label, "pause", f"{key}-pause-{run.id}", asked, _pause, run)
        label = "Cancelling …" if run.cancel_asked else "Cancel"
        _button(label, "stop_circle", f"{key}-cancel-{run.id}", bool(run.cancel_asked), _cancel, run)


def _button(label: str, icon: str, key: str, disabled: bool, click: Callable[[str], None], run: Run) -> None:
    st.button(label, key=key, icon=f":material/{icon}:", disabled=disabled, on_click=click, args=(run.id,))


@toast()
def _pause(run_id: str) -> None:
    store().ask_pause(run_id)


@toast()
def _cancel(run_id: str) -> None:
    store().ask_cancel(run_id)
