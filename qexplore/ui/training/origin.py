"""Where what is shown comes from, and how to get it again."""

from __future__ import annotations

import streamlit as st

from qexplore.ui.snippets import SNIPPETS
from qexplore.ui.training.known import Known


def origin(one: Known) -> None:
    """A line on the source; for a finished training the notebook cell that repeats it, in a fold."""
    st.caption(_source(one))
    task = one.spec.get("task")
    if one.active or not task:
        return
    fold = st.expander("The same again", icon=":material/code:", key="training-again", on_change="rerun")
    if fold.open:
        cell, command = SNIPPETS["recipe"]
        with fold:
            st.code(cell(str(task), one.spec["recipe"], one.seed))
            if isinstance(one.spec["recipe"], str):
                st.code(command(str(task), one.spec["recipe"], one.seed), language="bash", wrap_lines=True)


def _source(one: Known) -> str:
    if one.recording is None:
        return f"Run {one.id} of this home, seed {one.seed}. All of its files and its log: Runs."
    header = one.recording.header
    made = f"Recorded on {header['created'][:10]} with qexplore {header['qexplore']}, torch {header['torch']}"
    return f"{made}, seed {header['seed']}, by `{header['command']}`. Start it above to see it on this machine."
