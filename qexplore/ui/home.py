"""The first page: one sentence, a small live picture, four ways on, the last runs."""

from __future__ import annotations

import streamlit as st

from qexplore import figures
from qexplore.allocate import Budget
from qexplore.figures.words import interval, percent
from qexplore.runs import profiles
from qexplore.ui.bench import warm
from qexplore.ui.budgets.answers import Found, Question, find
from qexplore.ui.budgets.limits import START, slider
from qexplore.ui.budgets.picture import frontier_of
from qexplore.ui.budgets.watch import watch
from qexplore.ui.draw import figure
from qexplore.ui.foreign import escaped
from qexplore.ui.sentence import sentence
from qexplore.ui.stored import profile_of, scores, store
from qexplore.ui.strip import Card, strip
from qexplore.ui.work.words import ICONS, ago, name, outcome

TASK = "mobilenet-digits"
_PLOT = 125  # pixels
_WAYS = (
    (
        "quantizer",
        "See how it works",
        ":material/stairs:",
        "One tensor, one grid: drag the range and watch rounding trade against clipping.",
    ),
    (
        "budgets",
        "Choose a budget",
        ":material/tune:",
        "Say how many bits you can pay for; every site of the network gets its share, and the accuracy is measured.",
    ),
    (
        "training",
        "Win accuracy back",
        ":material/model_training:",
        "Train at few bits, or let QBitOpt give the bits out anew while it trains, and watch what comes back.",
    ),
    (
        "network",
        "Use my own network",
        ":material/account_tree:",
        "Beside digits and CIFAR-10: torchvision's classifiers and segmentation networks, or your weights, on a folder "
        "of your images.",
    ),
)


def promise() -> None:
    """One sentence on what this is. The measuring process starts, so that the next page need not wait for it."""
    st.markdown(
        "Shrink the numbers of a trained network, see **which layers hurt**, set a **budget of bits**, "
        "and watch the **measured accuracy** answer."
    )
    warm()


@st.fragment
@sentence()
def live() -> None:
    """The Budgets page in small: one slider, the bits of each site, the accuracy to expect."""
    profile = profile_of(TASK)
    with st.container(border=True):
        left, right = st.columns([1, 1.9], gap="large", vertical_alignment="center")
        with left:
            bits = slider("average weight bits", "w", f"Activations have {START['a']:g} bits on average.")
            limits = Budget(weight_bits=bits, activation_bits=START["a"])
            question = Question(profile, scores(profile, profiles.METRIC), limits, {})
            found = find(question)
            predicted = float(profiles.predict_accuracy(profile, found.answer.loss))
            strip(_cards(profile, found, predicted))
        with right:
            bars = figures.allocation(profile.sites, found.answer.bits, height=190)
            figure(bars, key="home-allocation", words=False)
            frontier = frontier_of(profile, found, predicted, height=_PLOT).grown()
            figure(frontier, key="home-frontier", words=False)
            st.caption(f"The bits of each site of {TASK}, weights upwards, and what such budgets cost in accuracy.")
    watch(question, found)


def _cards(profile: profiles.Profile, found: Found, predicted: float) -> list[Card]:
    weights = profile.sites[profile.sites["kind"] == "weight"].drop_duplicates("tied")
    full = int(weights["numel"].sum()) * 4 / 1000
    m = found.measured
    value = percent(m.value) if m is not None else "measuring …" if found.pending else "not measured"
    note = f"{interval(m.low, m.high)}, {m.images:,} images" if m is not None else "on the evaluation images"
    return [
        Card("weights", f"{found.answer.cost['kb']:.1f} KB", f"{full:.0f} KB in 32-bit floats"),
        Card("predicted accuracy", percent(predicted), f"FP32 {percent(profile.fp32_here['value'])}", "predicted"),
        Card("measured accuracy", value, note, "measured", waiting=m is None),
    ]


def ways() -> None:
    """Four ways on."""
    for column, (page, label, icon, text) in zip(st.columns(4, gap="medium"), _WAYS, strict=True):
        with column, st.container(border=True, height="stretch"):
            st.page_link(f"pages/{page}.py", label=f"**{label}**", icon=icon)
            st.caption(text)


def last_runs() -> None:
    """The newest runs of this home."""
    runs = store().runs(limit=3)
    if not runs:
        st.caption("No runs yet: what you start in the background is listed here and on Runs.")
        return
    st.markdown("**Last runs**")
    for run in runs:
        said = "under way" if run.active else outcome(run)
        label = f"{escaped(name(run))} · {escaped(said)} · :gray[{ago(run.created)}]"
        st.page_link("pages/runs.py", label=label, icon=ICONS[run.state], query_params={"run": run.id})
    st.page_link("pages/runs.py", label="All runs", icon=":material/list_alt:")
