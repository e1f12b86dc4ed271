"""The estimators of one site side by side: values and ranges, errors, accuracies, and all of it as a table."""

from __future__ import annotations

import streamlit as st

from qexplore.figures import ranges as figures
from qexplore.figures.words import SQNR
from qexplore.metric import MIOU, named, titled
from qexplore.ui.absent import how_to_get
from qexplore.ui.draw import figure
from qexplore.ui.ranges.answers import Found, accuracies
from qexplore.ui.ranges.choice import Choice


def picture(choice: Choice) -> None:
    """The values, and under them the range of each estimator."""
    values = choice.profile.tensor(choice.site)
    figure(figures.brackets(values, choice.shown, choice.site, picked=choice.by, stored=choice.stored), key="brackets")
    if choice.per_channel:
        st.caption("This weight has one range a channel; the brackets span the widest one.")


def outcomes(choice: Choice, found: Found) -> None:
    """What the network keeps with each range, and what the site loses."""
    fp32, metric = choice.profile.fp32_here, choice.profile.metric
    if found.tried:
        drawn = figures.outcomes(
            accuracies(choice, found), choice.site, fp32=float(fp32["value"]), picked=choice.by, metric=metric
        )
        figure(drawn, key="outcomes", words=False)
        st.caption(
            f"{titled(metric)} of the whole network as measured, with 95 % intervals; the dashes are FP32 on the same "
            f"{fp32['images']:,} images."
        )
    else:
        with st.container(border=True, key="no-outcomes"):
            st.markdown(_unknown(choice, found))
    figure(figures.parts(choice.shown, choice.site, picked=choice.by), key="parts", words=False)
    st.caption("Mean squared error of the site, unit of the site squared; blue is lost by rounding, ochre by clipping.")


def _unknown(choice: Choice, found: Found) -> str:
    """Why there is no accuracy to draw, and what to do."""
    what = f"**{titled(choice.profile.metric)}:**"
    if found.pending:
        images = choice.profile.fp32_here["images"]
        return f"{what} the network is measured with each of these ranges on {images:,} images …"
    if how_to_get(choice.profile.task):
        return f"{what} not measured with these ranges, for the images are not here: how to get them stands above."
    return f"{what} not measured with these ranges."


def numbers(choice: Choice, found: Found) -> None:
    """The same as a table."""
    rows = choice.shown.drop(columns=["accuracy", "low", "high"], errors="ignore").merge(
        accuracies(choice, found).drop(columns="images"), left_on="method", right_on="range", how="left"
    )
    tried = [found.tried.get(by) for by in rows["method"]]
    rows["gained"] = [t.gained if t else None for t in tried]
    rows["lost"] = [t.lost if t else None for t in tried]
    rows[["accuracy", "low", "high"]] *= 100
    measured = ["accuracy", "low", "high", "gained", "lost"] if found.tried else []
    better, worse = _sides(choice)
    number, small = st.column_config.NumberColumn, "%.3g"
    st.dataframe(
        rows[["method", "lo", "hi", "scale", "sqnr_db", "rounding", "clipping", *measured]],
        hide_index=True,
        column_config={
            "method": "range",
            "lo": number("low end", format=small),
            "hi": number("high end", format=small),
            "scale": number("scale", format=small, help="Distance of two grid points, of the coarsest channel."),
            "sqnr_db": number("SQNR, dB", format="%.1f", help=SQNR),
            "rounding": number("rounding error", format=small, help="Mean square, unit of the site squared."),
            "clipping": number("clipping error", format=small, help="Mean square, unit of the site squared."),
            "accuracy": number(named(choice.profile.metric), format="%.1f %%"),
            "low": number("95 % from", format="%.1f %%"),
            "high": number("to", format="%.1f %%"),
            "gained": number("images gained", help=f"Images {better} {choice.stored}."),
            "lost": number("images lost", help=f"Images {worse} {choice.stored}."),
        },
        alt=f"Ranges of {choice.site} at {choice.bits} bits with their errors and accuracies.",
    )


def _sides(choice: Choice) -> tuple[str, str]:
    """Which images a range gains over the stored one, and which it loses."""
    if choice.profile.metric == MIOU:
        return "with more pixels right than with", "with fewer pixels right than with"
    return "right with this range and wrong with", "wrong with this range and right with"
