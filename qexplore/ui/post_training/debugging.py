"""The debugging flowchart of a recipe: stored, or asked for; its findings, and where they lead."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from qexplore import figures
from qexplore.figures.words import percent, points, roughly
from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.chrome import pick_site
from qexplore.ui.draw import figure
from qexplore.ui.foreign import escaped
from qexplore.ui.post_training import known
from qexplore.ui.post_training.choice import Choice
from qexplore.ui.post_training.findings import findings, fixes
from qexplore.ui.post_training.flow import culprits, flow
from qexplore.ui.post_training.kept import apart
from qexplore.ui.post_training.known import Known
from qexplore.ui.post_training.leads import leads
from qexplore.ui.post_training.offer import button
from qexplore.ui.work.watch import active, ask, watch

_BARE, _ABOVE = "plain recipe", "as above"  # they stand in the address
_TAKES = 25  # seconds on a network of the zoo, on a slow core, the fixes measured


def debugging(profile: Profile, choice: Choice, table: pd.DataFrame | None) -> None:
    """The section of the page: which recipe, its flowchart, findings and what to try next.

    table: the ablation of the complete recipe, None where nobody has measured it.
    """
    st.markdown("#### Find the culprit :gray[:small[what goes wrong, where, and what repairs it?]]")
    subject = _subject(choice, table)
    found = known.diagnosis(profile, subject)
    if found is None:
        _offer(profile, subject)
        made_of = choice.own.before if choice.own else None
        found = known.diagnosis(profile, made_of) if made_of else None
        if made_of is None or found is None:
            return
        subject = made_of
        st.markdown(f"**Before the repair** :gray[{escaped(subject.name)}]")
    _draw(profile, choice, subject, found)


def _draw(profile: Profile, choice: Choice, subject: Recipe, found: Known) -> None:
    """The flowchart of a diagnosis, its sites and causes, the repairs, and where they lead."""
    document: dict[str, Any] = found.value
    flow(document)
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        sites = pd.DataFrame(document["sites"])
        drawn = figures.culprits(sites, culprits(document), picked=str(st.session_state.get("site", "")))
        figure(drawn, on_pick=partial(_pick, profile))
        findings(document)
    with right:
        if document["healthy"]:
            st.success(_healthy(document), icon=":material/check_circle:")
        fixes(profile, choice, subject, document)
    leads(profile, document, st.session_state.get("debugged-site", {}).get(profile.task))
    _foot(profile, subject, found)


def _pick(profile: Profile, mark: dict[str, object]) -> None:
    """The site that was clicked is picked on all pages, and where this page leads to."""
    pick_site(mark)
    st.session_state["debugged-site"] = {profile.task: mark.get("site")}


def _subject(choice: Choice, table: pd.DataFrame | None) -> Recipe:
    """Which recipe is debugged: the plain one of these bits, or the recipe of the page."""
    if choice.recipe == choice.plain:
        return choice.plain
    with st.container(horizontal=True, vertical_alignment="center"):
        bare = _choose_bare()
        subject = choice.plain if bare else choice.recipe
        st.markdown(f":gray[{escaped(subject.name)}]", width="content")
    if bare and (told := apart(choice, table)):
        st.caption(f"{escaped(subject.name)} sets ranges and rounds, nothing else. {told}")
    return subject


def _choose_bare() -> bool:
    named = st.segmented_control(
        "debug",
        [_BARE, _ABOVE],
        default=_BARE,
        required=True,
        key="debug",
        bind="query-params",
        label_visibility="collapsed",
    )
    return named != _ABOVE  # an empty word in the address picks nothing


def _healthy(document: dict[str, Any]) -> str:
    rows = {row["name"]: row for row in document["checks"]}
    row = rows["quantized"]
    change = points(row["accuracy"] - rows["fp32"]["accuracy"])
    return (
        f"**Healthy:** the quantized network reaches {percent(row['accuracy'])} on {int(row['images']):,} images, "
        f"{change} from FP32, and no fault was found. There is nothing to repair."
    )


def _offer(profile: Profile, subject: Recipe) -> None:
    spec = known.spec_of("debug", profile, subject)
    with st.container(border=True, key="offer-debug"):
        st.markdown(
            f"**{escaped(subject.name)}** has not been debugged on this task. The flowchart asks whether FP32 is sane, "
            "whether weights or activations do the harm and which sites, names the cause of each, and measures what "
            f"repairs it: {roughly(_TAKES)}."
        )
        button(spec, "Find the culprit", ":material/search:", "find-culprit")
        watch([spec], key="debug")


def _foot(profile: Profile, subject: Recipe, found: Known) -> None:
    """Where the diagnosis comes from, its report, and a button to make a stored one anew."""
    text, spec = known.report(found), known.spec_of("debug", profile, subject)
    with st.container(horizontal=True, vertical_alignment="center"):
        source = f"run {found.run.id} of this machine" if found.run else "stored with this task"
        st.caption(f"{escaped(subject.name)}, {source}, seed {found.value['seed']}.", width="stretch")
        if found.run is None:
            st.button(
                "Debug it here",
                icon=":material/search:",
                key="debug-here",
                disabled=bool(active([spec])),
                on_click=ask,
                args=(spec,),
                help="Carries the flowchart out on this machine.",
            )
        if text is not None:
            name = f"{profile.task}-{subject.name.replace(' ', '-').replace(',', '')}-report.md"
            st.download_button(
                "Report", text, name, "text/markdown", icon=":material/download:", on_click="ignore", key="report"
            )
    watch([spec], key="debug-here")
