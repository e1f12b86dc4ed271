"""Accuracies of several runs beside each other."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from qexplore.figures.figure import Still
from qexplore.figures.palette import BLUE
from qexplore.figures.words import measured, percent, shorten
from qexplore.metric import named

_LETTERS = 34  # of a name beside the axis: a phone has room for no more


def compare(runs: pd.DataFrame) -> Still:
    """Dots with 95 % intervals; runs: name, accuracy, low, high, images (fractions), and where not all are accuracies
    metric, "miou" for a mean IoU.
    """
    metrics = runs["metric"].tolist() if "metric" in runs else [None] * len(runs)
    measures = [named(metric) for metric in metrics]
    mixed = len(set(measures)) > 1
    shown = [f"{name} {percent(v)}" if mixed else percent(v) for name, v in zip(measures, runs["accuracy"])]
    plot = go.Figure(
        go.Scatter(
            x=runs["accuracy"],
            y=runs["name"],
            mode="markers+text",
            text=shown,
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
        xaxis={"title": " or ".join(dict.fromkeys(measures)), "tickformat": ".1~%"},
        yaxis={
            "type": "category",
            "range": [len(runs) - 0.4, -0.75],
            "automargin": True,
            "tickvals": list(range(len(runs))),
            "ticktext": [shorten(name, _LETTERS) for name in runs["name"]],
        },
    )
    said = "; ".join(_said(row, name) for name, (_, row) in zip(measures, runs.iterrows()))
    look = (
        "Each interval is of one run alone. On the same images two runs can differ for certain although their "
        "intervals overlap: Post-training compares image by image."
    )
    return Still(
        name="compare",
        alt=f"Measured: {said}.",
        look=f"{look} An accuracy and a mean IoU do not compare." if mixed else look,
        data=runs.reset_index(drop=True),
        plot=plot,
    )


def _said(row: pd.Series[Any], measure: str) -> str:
    what = row["name"] if measure == "accuracy" else f"{row['name']} {measure}"
    return f"{what} {measured(row['accuracy'], row['low'], row['high'], row['images'])}"
