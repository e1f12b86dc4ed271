"""What is known about a task without asking the network: its profile, read once and kept."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from qexplore import zoo
from qexplore.runs import Store, profiles
from qexplore.runs.profiles import Profile
from qexplore.zoo.catalogue import added

Allocated = tuple[tuple[str, int], ...]


def profile_of(task: str) -> Profile:
    """The stored profile of a task, the same object while it is the newest; UnknownName or NoProfile without one."""
    newest = store().runs(limit=1, state="done", kind="profile", task=task)
    return _profile(task, added(task), newest[0].id if newest else "")


@st.cache_resource(max_entries=12, show_spinner=False)
def _profile(task: str, since: float, newest: str) -> Profile:
    """since: when the task was added; newest: the run that has measured it last."""
    return profiles.load(task)


def scores(profile: Profile, metric: str) -> pd.DataFrame:
    """The sensitivity table of one metric; shared, so nobody may write into it."""
    return _scores(profile, str(profile.folder), str(profile.header["created"]), metric)


@st.cache_resource(max_entries=36, show_spinner=False)
def _scores(_profile: Profile, folder: str, created: str, metric: str) -> pd.DataFrame:
    table = _profile.sensitivity
    return table[table["metric"] == metric].drop(columns="metric")


def measured_before(profile: Profile) -> dict[Allocated, dict[str, Any]]:
    """The profile's measured points by their allocation, its sites sorted by name."""
    return _measured(profile, str(profile.folder), str(profile.header["created"]))


@st.cache_resource(max_entries=12, show_spinner=False)
def _measured(_profile: Profile, folder: str, created: str) -> dict[Allocated, dict[str, Any]]:
    rows = [{str(k): v for k, v in row.items()} for row in _profile.points.to_dict("records")]
    return {tuple(sorted(json.loads(row["bits"]).items())): row for row in rows}


def row_of(sites: pd.DataFrame, site: str) -> dict[str, Any]:
    """The row of one site."""
    return {str(k): v for k, v in sites[sites["site"] == site].iloc[0].items()}


def store() -> Store:
    """The store of runs of this home; HomeUnusable or StoreTooNew where it cannot be read."""
    return Store()


def tasks() -> dict[str, str]:
    """Names of the tasks that have a profile, with their titles."""
    return {name: zoo.entry(name).title for name in zoo.names()}
