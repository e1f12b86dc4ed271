"""The parts of the Sensitivity page: heat map, ranking, agreement of the metrics, and what to try next."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qexplore import figures
from qexplore.figures.heatmap import ORDERS
from qexplore.figures.metrics import scale_of
from qexplore.figures.words import small
from qexplore.runs.profiles import METRIC, Profile
from qexplore.ui.chrome import pick_site
from qexplore.ui.draw import figure
from qexplore.ui.lacking import lacking
from qexplore.ui.onward import onward
from qexplore.ui.scored import ON_DEMAND, compared, offer, scored

METRICS = {
    "fisher": "fisher: Fisher information of the network's own answers × quantization noise",
    "fit": "fit: Fisher information from the labels (empirical) × quantization noise; after FIT, by which QBitOpt goes",
    "divergence": "divergence: measured, one site at a time: how far the answers move from FP32's (KL divergence)",
    "loss": "loss: measured, one site at a time: rise of the cross-entropy, at many bits up or down by chance",
    "sqnr": "sqnr: noise over signal of the site alone",
    "hessian-trace": "hessian-trace: average trace of the Hessian × squared quantization error (HAWQ-V2, Dong et al. "
    "2020)",
}


def choices(profile: Profile) -> tuple[str, int]:
    """Metric and bit width; both live in the address."""
    left, right = st.columns([3, 2])
    names = [name for name in METRICS if name in (*profile.metrics, *ON_DEMAND)]
    with left:
        metric = st.selectbox(
            "metric", names, key="metric", bind="query-params", help="\n\n".join(METRICS[name] for name in names)
        )
    widths = sorted(int(b) for b in profile.sensitivity["bits"].unique())
    with right:
        bits = st.select_slider("bits", widths, value=widths[2], key="bits", bind="query-params")
    return str(metric), int(bits)


def known(profile: Profile, metric: str) -> None:
    """Goes on only where the metric is known; else offers it, and the page ends there."""
    if scored(profile, metric) is None:
        offer(profile, metric)
        st.stop()


def _table(profile: Profile, metric: str) -> pd.DataFrame:
    table = scored(profile, metric)
    assert table is not None  # `known` has seen to that
    return table


def cells(profile: Profile, metric: str, site: str) -> None:
    """The heat map."""
    order = st.session_state.get("order", "network")
    drawn = figures.heatmap(_table(profile, metric), metric=metric, picked=site, order=order)
    figure(drawn, on_pick=pick_site, beside=_order)


def _order() -> None:
    st.selectbox("order", list(ORDERS), format_func=ORDERS.__getitem__, key="order", label_visibility="collapsed")


def worst(profile: Profile, metric: str, bits: int, site: str) -> None:
    """The ranking, and beside it how far the metrics agree with what is measured."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**Worst at {bits} bits** :gray[:small[by {metric}]]")
        figure(figures.ranking(_table(profile, metric), bits, metric=metric, picked=site), on_pick=pick_site)
    with right:
        _agreement(profile, metric, bits, site)


def _agreement(profile: Profile, metric: str, bits: int, site: str) -> None:
    if lacking(profile, "measured", "Without them there is nothing to hold the other metrics against."):
        return
    other = metric if metric != "divergence" else METRIC
    st.markdown(f"**Does {other} tell how far the answers move?**")
    every = compared(profile)
    figure(figures.agreement(every, other, bits, picked=site), key="agreement", on_pick=pick_site)
    table = figures.correlations(every).pivot(index="metric", columns="bits", values="correlation")
    table = table.rename(columns="{} bits".format)
    st.dataframe(
        table.style.format("{:.2f}"), alt="Spearman's rank correlation of each metric with the measured divergence."
    )
    st.caption(
        "Spearman's rank correlation with the measured divergence from FP32's answers, per bit width: 1 is the same "
        "order of sites. The measured loss keeps to it at few bits alone: no network lies exactly at the minimum of "
        "its cross-entropy, so that small errors raise or lower it by chance."
    )


def next_steps(profile: Profile, metric: str, bits: int) -> None:
    """What the table suggests, each with the page where it can be tried."""
    table = _table(profile, metric)
    at = table[table["bits"] == bits].sort_values("loss", ascending=False)
    first, last = at.iloc[0], at[at["numel"] >= at["numel"].median()].iloc[-1]
    index = int(first["index"])
    st.markdown("**What to try next**")
    task = {"task": profile.task}
    with st.container(border=True):
        onward(
            f"**{first['site']}** costs most at {bits} bits ({scale_of(metric).title}: {small(float(first['loss']))}): "
            "look at its values.",
            "quantizer",
            "Open in Quantizer",
            {**task, "site": first["site"]},
        )
        onward(
            f"Would another range serve it better at {bits} bits?",
            "ranges",
            "Open in Ranges",
            {**task, "site": first["site"], "b": str(bits)},
        )
        onward(
            f"Keep it at 8 bits and let the search spend the rest: site {index} locked.",
            "budgets",
            "Open in Budgets",
            {**task, "site": first["site"], "lock": f"{index}:8"},
        )
        onward(
            f"**{last['site']}** is large ({int(last['numel']):,} elements) and hardly hurts at {bits} bits: "
            "bits are saved there first.",
            "budgets",
            "See what the search gives it",
            {**task, "site": last["site"]},
        )
