"""The way from a run that ended early to the one that went on from it."""

from __future__ import annotations

import streamlit as st

from qexplore.runs import Run
from qexplore.ui.training.known import asked


def went_on(after: Run) -> None:
    """A link to the run that went on: a training on Training, any other on Runs."""
    trains = after.kind == "recipe" and after.task is not None and asked(after)
    way = {"task": str(after.task), "run": after.id} if trains else {"run": after.id}
    st.page_link(
        f"pages/{'training' if trains else 'runs'}.py",
        label=f"Run {after.id} went on from it and is {after.state}",
        icon=":material/resume:",
        query_params=way,
    )
