"""The table of a sensitivity metric: stored with the profile, computed by a run of this home, or offered."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.absent import how_to_get
from qexplore.ui.post_training.choice import word
from qexplore.ui.post_training.offer import button
from qexplore.ui.stored import scores, store
from qexplore.ui.work.watch import watch

ON_DEMAND = {"hessian-trace": "half a minute on a network for digits, longer on a larger one"}
"""Metrics that profiles leave out, and how long each takes."""


def spec_of(profile: Profile, metric: str) -> dict[str, Any]:
    """The run that computes a metric on the network and the images of the profile."""
    said = word(Recipe.from_document(profile.recipe))
    asked = {"task": profile.task, "recipe": said, "seed": profile.seed}
    return {"kind": "sensitivity", **asked, "metric": metric, "images": profile.limit}


def scored(profile: Profile, metric: str) -> pd.DataFrame | None:
    """Sites × bits → loss by a metric; None where nobody has computed it for this profile's sites."""
    if metric in profile.metrics:
        return scores(profile, metric)
    run = store().find(spec_of(profile, metric))
    path = store().folder(run.id) / "sensitivity.parquet" if run else None
    if path is None or not path.exists():
        return None
    table = _read(str(path))
    return table if set(table["site"]) == set(profile.sensitivity["site"]) else None  # else of another network


@st.cache_data(max_entries=20, show_spinner=False)
def _read(path: str) -> pd.DataFrame:
    return pd.read_parquet(path)


def compared(profile: Profile) -> pd.DataFrame:
    """The tables of all metrics that are known, one below the other, named in the column metric."""
    asked = [scored(profile, metric) for metric in ON_DEMAND if metric not in profile.metrics]
    return pd.concat([profile.sensitivity, *(table for table in asked if table is not None)], ignore_index=True)


def offer(profile: Profile, metric: str) -> None:
    """Where a metric is not known: what it takes, and the button that has it computed in the background."""
    spec = spec_of(profile, metric)
    with st.container(border=True, key="offer-metric"):
        st.markdown(
            f"**{metric} has not been computed on this task.** It needs second derivatives of every site, which takes "
            f"{ON_DEMAND[metric]}: it is computed in the background, and this page draws it when it is there."
        )
        if not how_to_get(profile.task):
            button(spec, "Compute it", ":material/grid_on:", "compute-metric")
        watch([spec], key="metric")
