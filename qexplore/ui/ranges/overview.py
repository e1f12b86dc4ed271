"""Beyond one site: every estimator at every site, each estimator everywhere, and channels before and after."""

from __future__ import annotations

import streamlit as st

from qexplore.figures import ranges as figures
from qexplore.metric import named
from qexplore.ui.chrome import pick_site
from qexplore.ui.draw import figure
from qexplore.ui.lacking import lacking
from qexplore.ui.ranges.choice import Choice, stored_method


def beyond(choice: Choice) -> None:
    """The three views beyond the picked site; one is seen at a time, so that the page stays short on a phone."""
    st.markdown("**Beyond this site**")
    views = {"every site": contest, "one for all": everywhere, "equalization": channels}
    for tab, view in zip(st.tabs(list(views), key="beyond"), views.values(), strict=True):
        with tab:
            view(choice)


def contest(choice: Choice) -> None:
    """Who wins where, at the bits of the picked site."""
    profile, bits = choice.profile, choice.bits
    measure = named(profile.metric)
    rows = profile.ranges[profile.ranges["bits"] == bits]
    measured = rows["accuracy"].notna().any()
    over = str(st.session_state.get("contest-over", "accuracy")) if measured else "sqnr_db"
    st.markdown(f"**Who wins where, at {bits} bits** :gray[:small[one site at a time, all others as stored]]")
    drawn = figures.contest(rows, profile.sites, over=over, picked=choice.site, metric=profile.metric)
    st.markdown(drawn.alt)
    figure(drawn, key="contest", on_pick=pick_site, beside=(lambda: _over(measure)) if measured else None)
    if measured or lacking(profile, "by_site", "The picked site is measured while you look at it; the map shows SQNR."):
        return
    if bits > 4:
        st.caption(f"Beyond 4 bits no range of a single site shows in the {measure}; it is stored for 2, 3 and 4 bits.")


def _over(measure: str) -> None:
    names = {"accuracy": f"{measure}, measured", "sqnr_db": "SQNR, dB"}
    st.selectbox("over", list(names), format_func=names.__getitem__, key="contest-over", label_visibility="collapsed")


def everywhere(choice: Choice) -> None:
    """One estimator for all sites of a kind."""
    profile = choice.profile
    st.markdown("**One estimator for all of them** :gray[:small[measured; the other side as stored]]")
    if lacking(profile, "everywhere"):
        return
    st.caption(
        "Where lines part, the choice of a range decides; the dotted line is FP32 on the same "
        f"{profile.fp32_here['images']:,} images, thin lines are 95 % intervals. "
        "mse + cross-entropy is mse everywhere but at the logits; dynamic ranges are found anew for every image while "
        f"the network runs, which costs time. Least error is not always best {named(profile.metric)}: the error counts "
        "every value alike, the network does not."
    )
    for column, kind in zip(st.columns(2, gap="large"), ("weight", "activation"), strict=True):
        with column:
            stored = stored_method(profile, kind)
            st.markdown(f"All **{kind}s** :gray[:small[stored: {stored}]]")
            fp32 = float(profile.fp32_here["value"])
            drawn = figures.everywhere(profile.estimators, kind, fp32=fp32, metric=profile.metric).grown()
            figure(drawn, key=f"everywhere-{kind}", words=False)
            st.markdown(drawn.alt)


def channels(choice: Choice) -> None:
    """Ranges of the channels before and after equalization, of the picked weight or of one near the activation."""
    profile = choice.profile
    shown = _weight(choice)
    st.markdown("**Channels before and after equalization** :gray[:small[of weights; ReLU6 replaced by ReLU]]")
    left, right = st.columns(2, gap="large")
    with left:
        spread = figures.imbalance(profile.channels, profile.sites, picked=shown)
        st.markdown(spread.alt)
        figure(spread, key="imbalance", on_pick=pick_site)
    with right:
        drawn = figures.equalized(profile.channels, shown)
        st.markdown(drawn.alt)
        if not figures.touched(profile.channels, shown):
            st.info(
                f"Equalization does not touch `{shown}`: no layer next to it, with nothing but a ReLU between, shares "
                "its channels.",
                icon=":material/block:",
            )
        figure(drawn, key="equalized")


def _weight(choice: Choice) -> str:
    """The picked weight; for an activation the last weight before it, for the input the first one."""
    weights = choice.profile.channels["site"].unique().tolist()
    index = choice.profile.sites.set_index("site")["index"]
    before = [name for name in weights if index[name] <= index[choice.site]]
    return str(before[-1] if before else weights[0])
