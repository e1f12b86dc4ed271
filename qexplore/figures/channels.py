"""Ranges of the output channels of one weight tensor."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from qexplore.figures.figure import Still
from qexplore.figures.palette import BLUE, GREY
from qexplore.figures.words import small

_MOST_BOXES = 128
_MOST_DRAWN = 512  # places along the axis that a band needs


def channels(table: pd.DataFrame, site: str) -> Still:
    """Boxes from stored quantiles, widest channel first; beyond 128 channels a band through some hundred of them.

    table: site, channel, lo, q25, q50, q75, hi in the unit of the weights.
    """
    rows = table[table["site"] == site].copy()
    rows["width"] = rows["hi"] - rows["lo"]
    rows = rows.sort_values("width", ascending=False, ignore_index=True)
    plot = _boxes(rows) if len(rows) <= _MOST_BOXES else _band(rows)
    plot.update_layout(
        height=300,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        showlegend=False,
        xaxis={"title": "output channels, widest range first", "showticklabels": len(rows) <= 40, "type": "category"},
        yaxis={"title": "weight"},
    )
    return Still(
        name=f"channels-{site}",
        alt=_finding(rows, site),
        look="One grid for the whole tensor must span the widest box; narrow boxes then fall between few grid points. "
        "Per-channel grids or equalization cure that.",
        data=rows,
        plot=plot,
    )


def _boxes(rows: pd.DataFrame) -> go.Figure:
    box = go.Box(
        x=rows["channel"].astype(str),
        lowerfence=rows["lo"],
        q1=rows["q25"],
        median=rows["q50"],
        q3=rows["q75"],
        upperfence=rows["hi"],
        line={"color": BLUE, "width": 1.3},
        name="",
    )
    return go.Figure(box)


def _band(rows: pd.DataFrame) -> go.Figure:
    plot = go.Figure()
    rows = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, _MOST_DRAWN).astype(int))]
    names = rows["channel"].astype(str)
    for low, high, colour in (("lo", "hi", GREY), ("q25", "q75", BLUE)):
        plot.add_trace(go.Scatter(x=names, y=rows[low], mode="lines", line={"color": colour, "width": 1}))
        plot.add_trace(
            go.Scatter(x=names, y=rows[high], mode="lines", fill="tonexty", line={"color": colour, "width": 1})
        )
    return plot


def _finding(rows: pd.DataFrame, site: str) -> str:
    if rows.empty:
        return f"{site} has no stored channels."
    widest, narrowest = float(rows["width"].max()), float(rows["width"].min())
    ratio = f"{widest / narrowest:,.0f} times" if narrowest > 0 else "infinitely"
    return f"{site}: {len(rows)} channels; the widest range, {small(widest)}, is {ratio} as wide as the narrowest."
