"""Accuracies of several runs beside each other."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from qexplore.figures.figure import Still
from qexplore.figures.palette import BLUE
from qexplore.figures.words import measured, percent, shorten

_LETTERS = 34  # of a name beside the axis: a phone has room for no more


def compare(runs: pd.DataFrame) -> Still:
    """Dots with 95 % intervals; runs: name, accuracy, low, high, images (fractions)."""
    plot = go.Figure(
        go.Scatter(
            x=runs["accuracy"],
            y=runs["name"],
            mode="markers+text",
            text=[percent(v) for v in runs["accuracy"]],
            textposition="top center",
            marker={"color": BLUE, "size": 11},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": runs["high"] - runs["accuracy"],
                "arrayminus": runs["accuracy"] - runs["low"],
            },
        )
    )
    plot.update_layout(
        height=90 + 46 * len(runs),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"title": "accuracy", "tickformat": ".1~%"},
        yaxis={
            "type": "category",
            "range": [len(runs) - 0.4, -0.75],
            "automargin": True,
            "tickvals": list(range(len(runs))),
            "ticktext": [shorten(name, _LETTERS) for name in runs["name"]],
        },
    )
    said = "; ".join(
        f"{r['name']} {measured(r['accuracy'], r['low'], r['high'], r['images'])}" for _, r in runs.iterrows()
    )
    return Still(
        name="compare",
        alt=f"Measured: {said}.",
        look="Where intervals overlap widely, these images cannot tell the two apart.",
        data=runs.reset_index(drop=True),
        plot=plot,
    )
