"""The Budgets page's live part: everything that answers a slider, redrawn alone."""

from __future__ import annotations

import streamlit as st

from qexplore import figures
from qexplore.errors import QexploreError
from qexplore.figures.frontier import AXES
from qexplore.figures.words import percent, points, seconds
from qexplore.metric import named
from qexplore.runs import profiles
from qexplore.runs.profiles import Profile
from qexplore.ui import history
from qexplore.ui.bench import DESK, warm
from qexplore.ui.budgets.answers import Found, Question, find
from qexplore.ui.budgets.editor import editor
from qexplore.ui.budgets.keep import keep, train
from qexplore.ui.budgets.limits import KEYS, budget
from qexplore.ui.budgets.numbers import numbers
from qexplore.ui.budgets.picture import frontier_of
from qexplore.ui.budgets.tried import remember_tried, tried
from qexplore.ui.budgets.watch import watch
from qexplore.ui.budgets.why import why
from qexplore.ui.chrome import pick_site, site_picker
from qexplore.ui.desk import desk
from qexplore.ui.draw import figure
from qexplore.ui.foreign import escaped
from qexplore.ui.locks import read_locks
from qexplore.ui.sentence import sentence
from qexplore.ui.stored import scores

_PLOT = 150  # pixels of the frontier itself


@st.fragment
@sentence()
def bench(profile: Profile) -> None:
    """Sliders, numbers, frontier, bars and the picked site."""
    warm()
    table = scores(profile, profiles.METRIC)
    asked, text = budget()
    history.remember(_history(profile), KEYS)
    try:
        question = Question(profile, table, asked, read_locks(text, profile.sites))
        found = find(question)
    except QexploreError as error:
        _impossible(profile, error)
        return
    _draw(question, found)
    watch(question, found)


def _draw(question: Question, found: Found) -> None:
    profile, table, locked, bits = question.profile, question.table, question.locked, found.answer.bits
    predicted = float(profiles.predict_accuracy(profile, found.answer.loss))
    numbers(found, predicted, profile)
    with st.container():  # always there: an element that comes and goes would make its neighbours anew
        if found.trouble:
            _trouble(found)
    wide, narrow = st.columns([2.1, 1], gap="medium")
    above, below, beside_them = wide.container(), wide.container(), narrow.container(border=True)
    with beside_them:
        site = site_picker(profile.sites, "picked site")
    with below:  # first, because it is what a moved slider asks for
        figure(figures.allocation(profile.sites, bits, locked=locked, picked=site), on_pick=pick_site)
    with above:
        _frontier(profile, found, predicted)
    with beside_them:
        why(profile, table, site, bits, locked)
    _foot(question, found)
    st.caption(_how(profile))
    train(question)
    edit = st.expander("Edit bits by hand", icon=":material/edit:", key="edit", on_change="rerun")
    if edit.open:
        with edit:
            editor(profile.sites, table, bits, locked)


def _history(profile: Profile) -> str:
    """A history a task: its locks mean nothing to another."""
    return f"budgets {profile.task}"


def _frontier(profile: Profile, found: Found, predicted: float) -> None:
    axis = str(st.session_state.get("over", "weight_bits"))
    axis = axis if axis in found.answer.cost else "weight_bits"
    if found.measured is not None:
        remember_tried(profile, found)
    drawn = frontier_of(profile, found, predicted, axis=axis, tried=tried(profile), height=_PLOT).grown()
    figure(drawn, key="frontier", beside=lambda: _axis(named(profile.metric)))


def _axis(measure: str) -> None:
    label = f"{measure} over"
    st.selectbox(label, list(AXES), format_func=AXES.__getitem__, key="over", label_visibility="collapsed")


def _foot(question: Question, found: Found) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_solved(found), width="stretch")
        history.undo_redo(_history(question.profile))
        keep(question, profiles.METRIC, found)


def _how(profile: Profile) -> str:
    """What the figures of this page hang on besides bits."""
    some = f", and is measured on the same {profile.images:,} images" if profile.images else ""
    bits = profile.recipe["weights"].get("bits", 8)
    return (
        f"Every measured point has the ranges of one calibration, made with {bits}-bit weights{some}. A recipe that "
        "rounds the weights to few bits before it calibrates finds other ranges for the activations, and another "
        f"{named(profile.metric)}: what the recipe under Share measures is said there."
    )


def _solved(found: Found) -> str:
    """How the allocation was found, and how good it is proven to be."""
    quick = f"convex hull in {seconds(found.hull.seconds)}"
    if not found.exact:
        return f"{quick}; the exact optimum is being worked out …"
    answer = found.answer
    worse = f"the hull {100 * answer.hull_gap:.2f} % worse"
    same = "same allocation" if answer.bits == found.hull.bits else worse
    proof = "proven optimal" if answer.exact else f"within {100 * answer.gap:.2f} % of the optimum"
    return f"{quick}, exact optimum in {seconds(answer.seconds)}: {same}; {proof} for these scores. {answer.note}"


def _impossible(profile: Profile, error: QexploreError) -> None:
    st.error(escaped(str(error)), icon=":material/block:")
    with st.container(horizontal=True):
        history.undo_redo(_history(profile))
    best = profile.points.sort_values("weight_bits").iloc[0]
    st.caption(
        f"The smallest allocation measured so far: {best['label']}, {best['kb']:.1f} KB, "
        f"{percent(best['accuracy'])} ({points(best['accuracy'] - profile.fp32_here['value'])} from FP32)."
    )


def _trouble(found: Found) -> None:
    def again() -> None:
        for question in found.questions:
            desk("exact").forget(question)
            desk(*DESK).forget(question)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.warning(escaped(found.trouble), icon=":material/warning:")
        st.button("Try again", on_click=again, key="again")
