"""What every page has: a title that asks its question, the task, and its facts."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qexplore import zoo
from qexplore.errors import UnknownName
from qexplore.figures.words import interval, percent
from qexplore.runs.profiles import Profile
from qexplore.ui.navigation import through_app
from qexplore.ui.stored import profile_of, tasks

_DEFAULT = "mobilenet-digits"
_LONGEST = 60  # letters of an unknown name that are repeated


def title(name: str, question: str) -> None:
    """Name of a page and the question that it answers."""
    through_app()
    st.markdown(f"### {name} :gray[:small[{question}]]")


def header(name: str, question: str) -> Profile:
    """Name, question and task of a page; returns the profile of the task that is picked."""
    through_app()
    unknown = _unknown_task()
    left, right = st.columns([3.4, 1], vertical_alignment="center")
    with right:
        names = tasks()
        near = unknown.nearest[0] if unknown and unknown.nearest else _DEFAULT
        start = next((i for i, name in enumerate(names) if name == near), 0)
        task = st.selectbox(
            "task",
            list(names),
            index=start,
            key="task",
            bind="query-params",
            label_visibility="collapsed",
            on_change=_forget_locks,
        )
    profile = profile_of(task)
    with left:
        title(name, question)
        st.markdown(facts(profile))
    if unknown:
        st.warning(f"{unknown} This is {task}.", icon=":material/link_off:")
    purpose = zoo.entry(task).made_on_purpose if task in zoo.names() else None
    if purpose:
        st.info(purpose, icon=":material/science:")
    return profile


def _forget_locks() -> None:
    """Locks name sites by index: on another task they would mean other sites."""
    if st.session_state.get("lock"):
        st.session_state["lock"] = ""


def _unknown_task() -> UnknownName | None:
    """The error for a task in the address that does not exist, with the nearest that do."""
    wanted = st.query_params.get("task")
    if wanted is None or wanted in tasks():
        return None
    return UnknownName("task", wanted[:_LONGEST], tasks())


def facts(profile: Profile) -> str:
    """The line that says what is being quantized."""
    fp32 = profile.fp32
    said = [
        f"**{tasks().get(profile.task, profile.task)}**",
        f"FP32 **{percent(fp32['value'])}** ({interval(fp32['low'], fp32['high'])}) on {fp32['images']:,} images",
        f"{profile.parameters:,} parameters",
        f"{len(profile.sites):,} sites",
    ]
    return " · ".join(said)


def site_picker(sites: pd.DataFrame, label: str = "site") -> str:
    """The site that is picked on all pages; the first weight until one is picked. Opaque parts are no sites."""
    names = sites.loc[sites["kind"] != "opaque", "site"].tolist()
    weights = sites.loc[sites["kind"] == "weight", "site"].tolist()
    start = names.index(weights[0]) if weights else 0
    return str(st.selectbox(label, names, index=start, key="site", bind="query-params"))


def pick_site(mark: dict[str, object]) -> None:
    """For figures: the site of the mark that was clicked becomes the picked one."""
    if mark.get("site"):
        st.session_state["site"] = str(mark["site"])
