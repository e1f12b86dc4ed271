"""Accuracy over the epochs on the calibration images, between the measured ends: before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import BLUE, GREY, PURPLE
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed, stages_of
from qexplore.figures.words import measured, percent, points
from qexplore.metric import named

Row = Mapping[str, Any]
_COLUMNS = ["epoch", "accuracy", "low", "high", "images", "label", "side"]


def accuracy(
    marks: pd.DataFrame,
    epochs: float,
    *,
    before: tuple[float, Row] | None = None,
    after: Row | None = None,
    fp32: float | None = None,
    parts: pd.DataFrame | None = None,
    metric: str = "accuracy",
) -> Live:
    """The curve on the calibration images, with its 95 % band, and diamonds measured on the evaluation images.

    No weight is trained on either; first ranges, and first bits where a training allocates, are found on the former.

    marks: epoch (of a stage's start: before its first step), accuracy, low, high, images, stage. before: epoch at which
    training of the quantized network begins, and its accuracy; after: the accuracy at the end. fp32: accuracy of the
    real network on the evaluation images. parts: where the stages begin (epoch, step). metric: "miou"
    where the accuracies are mean IoUs.
    """
    told = marks[["epoch", "accuracy", "low", "high", "images", "stage"]]
    rows = told.dropna(subset=["accuracy"]).reset_index(drop=True)
    diamonds = _diamonds(before, None if after is None else (float(epochs), after))
    diamonds["up"] = (diamonds["side"] == "right") & _room_above(rows, diamonds, fp32)
    diamonds["words"] = _words(rows, diamonds)
    reference = pd.DataFrame({"accuracy": [fp32], "text": [f"FP32 {percent(fp32)}"]}) if fp32 is not None else None
    return Live(
        title=f"Curve of the {named(metric)} over the epochs on the calibration images, with its 95 % band.",
        name="training-accuracy",
        alt=_finding(rows, before, after, fp32) or f"No {named(metric)} has been told yet.",
        look="Line and band: the calibration images, 95 %; ranges and first bits are found on them, no weight is "
        "trained on them. Diamonds: the evaluation images, "
        f"before training and after; dotted: FP32 on them. {ZOOMS}",
        data=pd.concat([rows.assign(label="calibration images"), diamonds[_COLUMNS[:-1]]], ignore_index=True),
        spec=_spec(named(metric)),
        zooms=ZOOM["name"],
        tables={
            "marks": rows,
            "diamonds": diamonds,
            "reference": reference if reference is not None else pd.DataFrame({"accuracy": [], "text": []}),
            "frame": frame(epochs),
            "stages": stages_of(parts),
        },
    )


def _diamonds(before: tuple[float, Row] | None, after: tuple[float, Row] | None) -> pd.DataFrame:
    rows = []
    for place, name, side in ((before, "before", "left"), (after, "after", "right")):
        if place is not None:
            epoch, row = place
            told = [row[column] for column in ("accuracy", "low", "high", "images")]
            rows.append((epoch, *told, f"{name} {percent(row['accuracy'])}", side))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _words(rows: pd.DataFrame, diamonds: pd.DataFrame) -> pd.Series[float]:
    """Where the words beside a diamond stand that are not above it: below its interval and the band beside it."""
    below = []
    for _, one in diamonds.iterrows():
        near = rows[rows["epoch"] >= one["epoch"]].head(1) if one["side"] == "left" else rows.tail(1)
        band = [float(low) for low in near["low"] if low < one["high"]]
        below.append(min([float(one["low"]), *band]))
    return pd.Series(below, diamonds.index, dtype=float).where(~diamonds["up"], diamonds["accuracy"])


def _room_above(rows: pd.DataFrame, diamonds: pd.DataFrame, fp32: float | None) -> pd.Series[bool]:
    """Whether words above a diamond meet neither the curve nor the upper edge."""
    drawn = [*rows["low"], *rows["high"], *diamonds["low"], *diamonds["high"], *([] if fp32 is None else [fp32])]
    top, bottom = (max(drawn), min(drawn)) if drawn else (1.0, 0.0)
    last = rows["accuracy"].iloc[-1] if len(rows) else 0.0
    above: pd.Series[bool] = (diamonds["accuracy"] >= last) & (top - diamonds["accuracy"] > 0.12 * (top - bottom))
    return above


def _finding(rows: pd.DataFrame, before: tuple[float, Row] | None, after: Row | None, fp32: float | None) -> str:
    said = []
    if before is not None:
        said.append(f"before training {measured(*_told(before[1]))}")
    if len(rows):
        last = rows.iloc[-1]
        held = measured(last["accuracy"], last["low"], last["high"], int(last["images"]))
        said.append(f"after epoch {last['epoch']:g} {held} of the calibration")
    if after is not None:
        change = f", {points(after['accuracy'] - before[1]['accuracy'])}" if before is not None else ""
        said.append(f"after training {measured(*_told(after))}{change}")
    if fp32 is not None:
        said.append(f"FP32 {percent(fp32)}")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _told(row: Row) -> tuple[float, float, float, int]:
    return float(row["accuracy"]), float(row["low"]), float(row["high"]), int(row["images"])


_STAGE = {"field": "stage", "type": "nominal"}
_CURVE = {"data": {"name": "marks"}}
_DIAMONDS = {"data": {"name": "diamonds"}}


def _spec(measure: str) -> dict[str, Any]:
    y: dict[str, Any] = {
        "field": "accuracy",
        "type": "quantitative",
        "title": measure,
        "scale": {"zero": False, "nice": False, "padding": 25},
        "axis": {"format": ".3~%", "tickCount": 5},
    }
    said = [
        {"field": "epoch", "format": ".2~f"},
        {"field": "accuracy", "title": measure, "format": ".1%"},
        {"field": "low", "title": "95 % from", "format": ".1%"},
        {"field": "high", "title": "to", "format": ".1%"},
        {"field": "images"},
    ]
    return framed(
        y,
        [
            {
                "data": {"name": "reference"},
                "mark": {"type": "rule", "color": GREY, "strokeDash": [2, 3]},
                "encoding": {"y": y},
            },
            {
                "data": {"name": "reference"},
                "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 60, "dy": -3, "color": GREY},
                "encoding": {"y": y, "x": {"value": 0}, "text": {"field": "text"}},
            },
            {
                **_CURVE,
                "mark": {"type": "area", "color": BLUE, "opacity": 0.18, "clip": True},
                "encoding": {"x": EPOCH, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "detail": _STAGE},
            },
            {
                **_CURVE,
                "mark": {
                    "type": "line",
                    "color": BLUE,
                    "strokeWidth": 2.2,
                    "clip": True,
                    "point": {"size": 34, "filled": True, "color": BLUE},
                },
                "encoding": {"x": EPOCH, "y": y, "detail": _STAGE, "tooltip": said},
            },
            {
                **_DIAMONDS,
                "mark": {"type": "rule", "color": PURPLE, "strokeWidth": 2},
                "encoding": {"x": EPOCH, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                **_DIAMONDS,
                "mark": {
                    "type": "point",
                    "shape": "diamond",
                    "filled": True,
                    "size": 120,
                    "color": PURPLE,
                    "opacity": 1,
                },
                "encoding": {"x": EPOCH, "y": y, "tooltip": said},
            },
            *[
                {
                    **_DIAMONDS,
                    "transform": [{"filter": f"datum.side === '{side}' && {'' if up else '!'}datum.up"}],
                    "mark": {
                        "type": "text",
                        "align": side,
                        "dx": 6 if side == "left" else -6,
                        "dy": -16 if up else 14,
                        "color": PURPLE,
                        "fontWeight": "bold",
                    },
                    "encoding": {"x": EPOCH, "y": {**y, "field": "words"}, "text": {"field": "label"}},
                }
                for side in ("left", "right")
                for up in (True, False)
            ],
        ],
    )
