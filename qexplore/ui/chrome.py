"""What every page has: a title that asks its question, the task, and its facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pandas as pd
import streamlit as st

from qexplore import zoo
from qexplore.errors import UnknownName
from qexplore.figures.words import interval, percent
from qexplore.metric import MIOU
from qexplore.runs.profiles import NoProfile, Profile
from qexplore.ui import instead
from qexplore.ui.absent import how_to_get
from qexplore.ui.foreign import escaped
from qexplore.ui.navigation import through_app
from qexplore.ui.stored import profile_of, tasks
from qexplore.ui.unmeasured import stale, unmeasured

START = "mobilenet-digits"
_LONGEST = 60  # letters of an unknown name that are repeated


def title(name: str, question: str) -> None:
    """Name of a page and the question that it answers."""
    through_app()
    st.markdown(f"### {name} :gray[:small[{question}]]")


def header(name: str, question: str, below: Callable[[], object] | None = None, *, judges: bool = False) -> Profile:
    """Name, question and task of a page; returns the profile of the task that is picked.

    judges: whether the page's figures are accuracies on the evaluation images of the profile.
    A task without a profile has a panel instead that lets it be measured, then what `below` draws; the page ends there.
    """
    through_app()
    if "go-to" in st.session_state:
        st.session_state["task"] = st.session_state.pop("go-to")
    unknown = _unknown_task()
    left, right = st.columns([3.4, 1], vertical_alignment="center")
    with right:
        names = tasks()
        near = unknown.nearest[0] if unknown and unknown.nearest else START
        start = next((i for i, name in enumerate(names) if name == near), 0)
        task = st.selectbox(
            "task",
            list(names),
            index=start,
            key="task",
            bind="query-params",
            label_visibility="collapsed",
            on_change=_forget_indices,
        )
    profile = _profile(task)
    with left:
        title(name, question)
        st.markdown(called(task) if profile is None else facts(profile, judges=judges))
    if unknown:
        st.warning(f"{escaped(str(unknown))} This is {task}.", icon=":material/link_off:")
    purpose = zoo.entry(task).made_on_purpose if task in zoo.names() else None
    if purpose:
        st.info(purpose, icon=":material/science:")
    if profile is None:
        _instead(task, below)
    absent = how_to_get(task)
    if absent:
        st.info(f"What was measured is drawn; nothing new can be. {absent}", icon=":material/image_not_supported:")
    else:
        stale(profile)
    return profile


def go_to(task: str) -> None:
    """The next drawing of a page is of this task."""
    st.session_state["go-to"] = task


def _profile(task: str) -> Profile | None:
    try:
        return profile_of(task)
    except NoProfile:
        return None


def _instead(task: str, below: Callable[[], object] | None) -> NoReturn:
    unmeasured(task)
    if below is not None:
        below()
    st.stop()


def called(task: str) -> str:
    """The title of a task; one of the visitor's own carries a badge."""
    title = f"**{escaped(tasks().get(task, task))}**"
    known = task in zoo.names() and zoo.entry(task).own
    return f"{title} :blue-badge[your own]" if known else title


def _forget_indices() -> None:
    """Locks, and ranges in the address, name sites by index: on another task they would mean other sites."""
    if st.session_state.get("lock"):
        st.session_state["lock"] = ""
    for name in ("grid", "hand"):
        st.query_params.pop(name, None)


def _unknown_task() -> UnknownName | None:
    """The error for a task in the address that does not exist, with the nearest that do."""
    wanted = st.query_params.get("task")
    if wanted is None or wanted in tasks():
        return None
    return UnknownName("task", wanted[:_LONGEST], tasks())


def metric_of(profile: Profile) -> str:
    """What the FP32 figure of a profile measures: 'FP32', or 'FP32 mean IoU' where each pixel has a class."""
    return "FP32 mean IoU" if profile.metric == MIOU else "FP32"


def facts(profile: Profile, *, judges: bool) -> str:
    """The line that says what is being quantized; for a page that judges, FP32 on the images of its figures too."""
    fp32 = profile.fp32
    between = interval(fp32["low"], fp32["high"])
    some = ""
    if profile.images and judges:
        some = f", {percent(profile.fp32_here['value'])} on the {profile.images:,} that the figures are of"
    said = [
        called(profile.task),
        f"{metric_of(profile)} **{percent(fp32['value'])}** ({between}) on {fp32['images']:,} images{some}",
        f"{profile.parameters:,} parameters",
        f"{len(profile.sites):,} sites",
    ]
    return " · ".join(said)


def site_picker(sites: pd.DataFrame, label: str = "site") -> str:
    """The site that is picked on all pages; the first weight until one is picked. Opaque parts are no sites."""
    names = sites.loc[sites["kind"] != "opaque", "site"].tolist()
    weights = sites.loc[sites["kind"] == "weight", "site"].tolist()
    return select_site(names, weights[0] if weights else names[0], label)


def select_site(names: list[str], start: str, label: str = "site") -> str:
    """The picker of one of these sites; `start` until one is picked, and where the address names none of them."""
    instead.asked("site", lambda text: text in names)
    site = str(st.selectbox(label, names, index=names.index(start), key="site", bind="query-params"))
    instead.tell("site", site, lambda text: f"The link asks for the site {text}, which is not here; this is {site}.")
    return site


def pick_site(mark: dict[str, object]) -> None:
    """For figures: the site of the mark that was clicked becomes the picked one."""
    if mark.get("site"):
        st.session_state["site"] = str(mark["site"])
