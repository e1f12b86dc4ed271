"""Where what is shown comes from, and how to get it again."""

from __future__ import annotations

import streamlit as st

from qexplore.runs.recordings import Recording
from qexplore.ui.onward import onward
from qexplore.ui.snippets import SNIPPETS, train_cell, train_command
from qexplore.ui.training.known import Known
from qexplore.ui.training.recipes import choice_of


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
        with fold:
            _again(str(task), one)


def _again(task: str, one: Known) -> None:
    """The cell and the command that repeat a training; of a recipe of one's own the cell alone."""
    recipe, (cell, command) = one.spec["recipe"], SNIPPETS["recipe"]
    if isinstance(recipe, str):
        found, line = cell(task, recipe, one.seed), command(task, recipe, one.seed)
    elif (choice := choice_of(recipe, one.seed)) is not None:
        words = (task, choice.preset, choice.changes, one.seed)
        found, line = train_cell(*words), train_command(*words)
    else:
        found, line = cell(task, recipe, one.seed), ""
    st.code(found, wrap_lines=True)
    if line:
        st.code(line, language="bash", wrap_lines=True)


def _source(recording: Recording) -> str:
    header = recording.header
    made = f"Recorded on {header['created'][:10]} with qexplore {header['qexplore']}, torch {header['torch']}"
    return f"{made}, seed {header['seed']}, by `{header['command']}`. Start it above to see it on this machine."
