"""Accuracy after each step of recipes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from qexplore.figures.figure import Still
from qexplore.figures.palette import GREY, SERIES
from qexplore.figures.words import percent, points

_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def waterfall(steps: pd.DataFrame, *, fp32: float) -> Still:
    """One line a recipe through the accuracies after its steps, with 95 % intervals.

    steps: recipe, step, accuracy, low, high, images in the order of the steps. fp32: fraction.
    """
    plot = go.Figure()
    recipes = list(dict.fromkeys(steps["recipe"]))
    for i, recipe in enumerate(recipes):
        rows = steps[steps["recipe"] == recipe]
        plot.add_trace(_trace(recipe, rows, i, len(recipes)))
    plot.add_hline(y=fp32, line={"color": GREY, "dash": "dot", "width": 1})
    plot.add_annotation(
        x=0,
        xref="paper",
        y=fp32,
        text=f"FP32 {percent(fp32)}",
        showarrow=False,
        yshift=9,
        xanchor="left",
        font={"color": GREY},
    )
    low = max(0.0, float(steps["low"].min()) - 0.04)
    plot.update_layout(
        height=380,
        margin={"l": 8, "r": 8, "t": 16, "b": 8},
        yaxis={"title": "accuracy", "tickformat": ".0%", "range": [low, 1 + 0.04 * (1 - low)]},
        xaxis={"type": "category", "title": None, "categoryorder": "array", "categoryarray": _order(steps)},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hovermode="closest",
    )
    return Still(
        name="steps",
        alt=_finding(steps, fp32),
        look="Read each line from left to right: where it falls, the step cost accuracy; where it rises, it paid.",
        data=steps.reset_index(drop=True),
        plot=plot,
    )


def _order(steps: pd.DataFrame) -> list[str]:
    """Steps of all recipes in an order that each recipe keeps: a new step stands before the one that follows it."""
    order: list[str] = []
    for _, rows in steps.groupby("recipe", sort=False):
        at = len(order)
        for step in reversed(rows["step"].tolist()):
            if step in order:
                at = order.index(step)
            else:
                order.insert(at, step)
    return order


def _trace(recipe: str, rows: pd.DataFrame, i: int, of: int) -> Any:
    colour = SERIES[i % len(SERIES)]
    return go.Scatter(
        x=rows["step"],
        y=rows["accuracy"],
        name=recipe,
        mode="lines+markers" if of > 2 else "lines+markers+text",
        text=[percent(v) for v in rows["accuracy"]],
        textposition="bottom center" if i % 2 == 0 else "top center",
        textfont={"color": colour},
        line={"color": colour, "dash": _DASHES[i % len(_DASHES)], "width": 2},
        marker={"symbol": _MARKERS[i % len(_MARKERS)], "size": 10},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": rows["high"] - rows["accuracy"],
            "arrayminus": rows["accuracy"] - rows["low"],
            "thickness": 1.2,
            "width": 4,
        },
        customdata=rows[["low", "high", "images"]],
        hovertemplate="%{x}: %{y:.1%} (%{customdata[0]:.1%}–%{customdata[1]:.1%}, %{customdata[2]} images)"
        "<extra>" + recipe + "</extra>",
    )


def _finding(steps: pd.DataFrame, fp32: float) -> str:
    parts = []
    for recipe, rows in steps.groupby("recipe", sort=False):
        end = float(rows["accuracy"].iloc[-1])
        text = f"{recipe} ends at {percent(end)}, {points(end - fp32)} from FP32"
        change = rows["accuracy"].diff().fillna(0.0).tolist()
        if min(change) < -0.005:
            text += f" (largest fall at {rows['step'].iloc[change.index(min(change))]}, {points(min(change))})"
        parts.append(text)
    return "; ".join(parts) + "." if parts else "No steps."
