"""Curves of several trainings over each other, told apart by letter, dash and colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import SERIES
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed
from qexplore.figures.training.thin import thin
from qexplore.figures.words import measured, small
from qexplore.metric import named

LETTERS = "ABCD"
APART = 0.07  # of the height of the curves: room for a letter
_NEAR = 0.06  # of all epochs: letters of curves that end so close to each other would lie over each other
_BESIDE = 1.04  # of all epochs: the letters stand right of the last one
_HEIGHT = 250
_INTERVAL = ["low", "high", "images"]
_DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3])
_AXES = {
    "accuracy": ("accuracy on the calibration images", ".3~%", "linear"),
    "held_out_loss": ("loss on the calibration images, nats", ".2~g", "log"),
}


def overlay(curves: Sequence[tuple[str, pd.DataFrame]], y: str = "accuracy", metric: str = "accuracy") -> Live:
    """curves: name and table (epoch, accuracy or held_out_loss, stage; of an accuracy also low, high, images) of at
    most four trainings, in the order of their letters. y: which of both is drawn, an accuracy with the 95 % interval
    of its last epoch. metric: "miou" where the accuracies are mean IoUs.
    """
    title = _AXES[y][0].replace("accuracy", named(metric))
    columns = ["epoch", y, "stage", *(_INTERVAL if y == "accuracy" else [])]
    tables = [
        table[columns].dropna(subset=[y]).astype(float).assign(run=f"{letter} {name}", letter=letter)
        for letter, (name, table) in zip(LETTERS, curves, strict=False)
    ]
    names = [f"{letter} {name}" for letter, (name, _) in zip(LETTERS, curves, strict=False)]
    drawn = pd.concat([thin(table, y, 200) for table in tables], ignore_index=True)
    last = pd.concat([table.tail(1) for table in tables], ignore_index=True)
    bars = ", with the 95 % interval there" if y == "accuracy" else ""
    return Live(
        title=f"Curves of the {title} of several trainings over the epochs.",
        name=f"trainings-{y}",
        alt=_finding(last, y),
        look="The calibration images are held out: no weight is trained on them. Each letter stands at the end of its "
        f"curve{bars}; what it stands for is told below. {ZOOMS}",
        data=pd.concat(tables, ignore_index=True).drop(columns="letter"),
        spec=_spec(y, title, names),
        zooms=ZOOM["name"],
        tables={
            "curves": drawn,
            "ends": _placed(last, drawn, y),
            "frame": frame(max((float(table["epoch"].max()) for table in tables if len(table)), default=1.0) * _BESIDE),
            "stages": pd.DataFrame({"epoch": pd.Series(dtype=float), "step": ""}),
        },
    )


def _finding(last: pd.DataFrame, y: str) -> str:
    if last.empty:
        return "None of these trainings has finished an epoch yet."
    best = last.sort_values(y, ascending=y != "accuracy", ignore_index=True)
    said = ", ".join(f"{row['run']} {_said(row, y)} after epoch {row['epoch']:g}" for _, row in best.iterrows())
    return f"Calibration images, best first: {said}."


def _said(row: pd.Series[Any], y: str) -> str:
    if y != "accuracy":
        return small(row[y])
    return measured(row[y], row["low"], row["high"], int(row["images"]))


def _placed(last: pd.DataFrame, curves: pd.DataFrame, y: str) -> pd.DataFrame:
    """The ends of the curves with the values of y at which their letters stand (place): at the end of the curve, or
    above or below it where another letter is in the way.
    """
    values = pd.concat([curves[y], *(last[end] for end in _INTERVAL[:2] if y == "accuracy")])
    scale, back = (np.log, np.exp) if _AXES[y][2] == "log" else (np.positive, np.positive)
    low, high = scale(values.min()), scale(values.max())
    if not high > low:
        return last.assign(place=last[y])
    at = (scale(last[y]) - low) / (high - low)
    epochs = last["epoch"].sort_values()
    for _, near in epochs.groupby((epochs.diff() > _NEAR * epochs.max()).cumsum()):
        at.update(_apart(at[near.index.sort_values()]))
    return last.assign(place=back(low + at * (high - low)))


def _apart(at: pd.Series[float]) -> pd.Series[float]:
    """Heights from 0 to 1, moved until they are APART; of equal ones the first is the highest."""
    order = at.iloc[::-1].sort_values(kind="stable")
    heights = order.tolist()
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + APART)
    heights[-1] = min(heights[-1], 1.0)
    for i in reversed(range(len(heights) - 1)):
        heights[i] = min(heights[i], heights[i + 1] - APART)
    return pd.Series(heights, order.index)


def _spec(y: str, title: str, names: list[str]) -> dict[str, Any]:
    _, form, kind = _AXES[y]
    axis = {
        "field": y,
        "type": "quantitative",
        "title": title,
        "scale": {"type": kind, "nice": False, "padding": 10, **({"zero": False} if kind == "linear" else {})},
        "axis": {"format": form, "tickCount": 5},
    }
    legend = {
        "title": None,
        "orient": "bottom",
        "columns": {"expr": "width > 480 ? 2 : 1"},
        "labelLimit": 320,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 400,
    }
    series = {"field": "run", "type": "nominal"}
    colour = {**series, "scale": {"domain": names, "range": list(SERIES[: len(names)])}, "legend": legend}
    dash = {**series, "scale": {"domain": names, "range": list(_DASHES[: len(names)])}, "legend": legend}
    return framed(
        axis,
        [
            {
                "data": {"name": "curves"},
                "mark": {"type": "line", "strokeWidth": 2.2, "clip": True},
                "encoding": {"x": EPOCH, "y": axis, "color": colour, "strokeDash": dash, "detail": {"field": "stage"}},
            },
            *(_intervals(axis) if y == "accuracy" else []),
            *[
                {
                    "data": {"name": "ends"},
                    "transform": [{"filter": f"datum.letter === '{letter}'"}],
                    "mark": {"type": "text", "align": "left", "dx": 5, "fontWeight": "bold", "fontSize": 13},
                    "encoding": {
                        "x": EPOCH,
                        "y": {**axis, "field": "place"},
                        "text": {"field": "letter"},
                        "color": {"value": SERIES[number]},
                    },
                }
                for number, letter in enumerate(LETTERS)
            ],
        ],
        _HEIGHT,
    )


def _intervals(axis: dict[str, Any]) -> list[dict[str, Any]]:
    """The 95 % interval at the end of each curve, beside each other where the curves end in one place."""
    said = [
        {"field": "run"},
        {"field": "accuracy", "title": axis["title"], "format": ".1%"},
        {"field": "low", "title": "95 % from", "format": ".1%"},
        {"field": "high", "title": "to", "format": ".1%"},
        {"field": "images", "title": "calibration images"},
    ]
    return [
        {
            "data": {"name": "ends"},
            "transform": [{"filter": f"datum.letter === '{letter}'"}],
            "mark": {"type": "rule", "strokeWidth": 2, "xOffset": -4 * place, "color": SERIES[place]},
            "encoding": {
                "x": EPOCH,
                "y": {**axis, "field": "low"},
                "y2": {"field": "high"},
                "tooltip": said,
            },
        }
        for place, letter in enumerate(LETTERS)
    ]
