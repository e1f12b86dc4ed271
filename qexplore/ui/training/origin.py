"""Where what is shown comes from, and how to get it again."""

from __future__ import annotations

import streamlit as st

from qexplore.runs.recordings import Recording
from qexplore.ui.onward import onward
from qexplore.ui.snippets import SNIPPETS
from qexplore.ui.training.known import Known


def origin(one: Known) -> None:
    """Where the recording is from, or the way to the run; a finished one has a fold with the cell that repeats it."""
    if one.recording is not None:
        st.caption(_source(one.recording))
    else:
        told = f"Run {one.id}, seed {one.seed}: its settings, its result, and what can be done with it."
        onward(told, "runs", "Open in Runs", {"run": one.id})
    task = one.spec.get("task")
    if one.active or not task:
        return
    fold = st.expander("The same again", icon=":material/code:", key="training-again", on_change="rerun")
    if fold.open:
        cell, command = SNIPPETS["recipe"]
        with fold:
            st.code(cell(str(task), one.spec["recipe"], one.seed), wrap_lines=True)
            if isinstance(one.spec["recipe"], str):
                st.code(command(str(task), one.spec["recipe"], one.seed), language="bash", wrap_lines=True)


def _source(recording: Recording) -> str:
    header = recording.header
    made = f"Recorded on {header['created'][:10]} with qexplore {header['qexplore']}, torch {header['torch']}"
    return f"{made}, seed {header['seed']}, by `{header['command']}`. Start it above to see it on this machine."
