"""Accuracy over the budget: what was measured, what is predicted, and where one stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREEN, GREY, PURPLE, VERMILLION
from qexplore.figures.words import percent

AXES = {
    "weight_bits": "average weight bits",
    "activation_bits": "average activation bits",
    "kb": "KB of weights",
    "gbops": "GBOPs per image",
}
UNIFORM, MIXED, TRIED = "uniform bits", "mixed bits", "tried in this visit"
HERE, HERE_MEASURED = "here, predicted", "here, measured"
_SERIES = {
    UNIFORM: (VERMILLION, VERMILLION, "square"),
    MIXED: (BLUE, BLUE, "circle"),
    TRIED: (GREEN, GREEN, "triangle-up"),
    HERE: (PURPLE, "transparent", "diamond"),
    HERE_MEASURED: (PURPLE, PURPLE, "diamond"),
}
_COLUMNS = ["series", "label", "x", "accuracy", "low", "high", "note", "text"]


def frontier(
    points: pd.DataFrame,
    path: pd.DataFrame,
    here: Mapping[str, Any] | None,
    *,
    fp32: float,
    images: int | None = None,
    axis: str = "weight_bits",
    tried: pd.DataFrame | None = None,
    height: int = 275,
) -> Live:
    """Measured points, the predicted path of the slider, and the present allocation.

    points: measured allocations with label, `axis`, accuracy, low, high, images; labels "uniform W…A…" are baselines.
    path: columns `axis` and accuracy: predicted accuracy (fraction) as this budget alone moves.
    here: `axis`, predicted, and, once measured, accuracy, low, high, images; None for no place.
    fp32: fraction; images: how many of the evaluation images served for all of it, None for all of them.
    tried: more measured allocations, of this visit, with the columns of points.
    """
    floor = _floor(points, fp32)
    parts = [_measured(points, axis, floor), _tried(tried, axis), _here(here, axis)]
    marks = pd.concat([part for part in parts if len(part)], ignore_index=True)
    line = pd.DataFrame({"x": path[axis], "accuracy": path["accuracy"]})
    same = f" on the same {images:,} images" if images else ""
    reference = pd.DataFrame({"fp32": [fp32], "text": [f"FP32 {percent(fp32)}{same}"]})
    return Live(
        title="Accuracy over the budget: measured points, the predicted path, and the present allocation.",
        name="frontier",
        alt=_finding(points, here, fp32, axis),
        look="Filled: measured, with 95 % intervals. Hollow and dashed: predicted. Squares: W bits for all weights, A "
        "for all activations; mixed bits pay where they lie above them.",
        data=marks.drop(columns="text"),
        spec=_spec(AXES[axis], floor, height),
        tables={"marks": marks, "path": line, "reference": reference},
    )


def _measured(points: pd.DataFrame, axis: str, floor: float = 0.0) -> pd.DataFrame:
    uniform = points["label"].str.startswith("uniform")
    rows = pd.DataFrame(
        {
            "series": uniform.map({True: UNIFORM, False: MIXED}),
            "label": points["label"],
            "x": points[axis],
            "accuracy": points["accuracy"],
            "low": points["low"],
            "high": points["high"],
            "note": points["images"].map(lambda n: f"measured on {n:,} images"),
            "text": [
                _tag(label, value, floor) for label, value in zip(points["label"], points["accuracy"], strict=True)
            ],
        }
    )
    return rows[_COLUMNS]


def _tag(label: str, value: float, floor: float) -> str:
    """Bits of a baseline; where it lies below the axis, its accuracy too. Nothing for others."""
    if not label.startswith("uniform"):
        return ""
    bits = label.removeprefix("uniform").strip()
    return f"{bits} ↓ {percent(value, 0)}" if value < floor else bits


def _tried(tried: pd.DataFrame | None, axis: str) -> pd.DataFrame:
    if tried is None or tried.empty:
        return pd.DataFrame(columns=_COLUMNS)
    return _measured(tried, axis).assign(series=TRIED, text="")


def _here(here: Mapping[str, Any] | None, axis: str) -> pd.DataFrame:
    if here is None:
        return pd.DataFrame(columns=_COLUMNS)
    x, guess = here[axis], here["predicted"]
    rows = [(HERE, "this allocation", x, guess, guess, guess, "predicted, not measured", "")]
    if here.get("accuracy") is not None:
        note = f"measured on {here['images']:,} images"
        rows.append((HERE_MEASURED, "this allocation", x, here["accuracy"], here["low"], here["high"], note, ""))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _floor(points: pd.DataFrame, fp32: float) -> float:
    """Lower end of the accuracy axis: low enough for all but collapsed points, so that the rest stays legible."""
    usable = points.loc[points["accuracy"] > fp32 - 0.5, "low"]
    lowest = float(usable.min()) if len(usable) else fp32 - 0.5
    return max(0.0, round(lowest - 0.02, 2))


def _finding(points: pd.DataFrame, here: Mapping[str, Any] | None, fp32: float, axis: str) -> str:
    where = "Accuracy over " + AXES[axis]
    if here is not None:
        where = f"Here, at {here[axis]:.3g} {AXES[axis]}: predicted {percent(here['predicted'])}"
        where += f", measured {percent(here['accuracy'])}" if here.get("accuracy") is not None else ""
    uniform = points[points["label"].str.startswith("uniform")]
    named = ", ".join(f"{label} {percent(value)}" for label, value in zip(uniform["label"], uniform["accuracy"]))
    return f"{where}; FP32 {percent(fp32)}; measured: {named}." if named else f"{where}; FP32 {percent(fp32)}."


def _spec(title: str, floor: float, height: int) -> dict[str, Any]:
    names = list(_SERIES)
    stroke, fill, shape = (list(column) for column in zip(*_SERIES.values()))
    x = {"field": "x", "type": "quantitative", "title": title, "scale": {"zero": False, "nice": False, "padding": 14}}
    y = {
        "field": "accuracy",
        "type": "quantitative",
        "title": "accuracy",
        "axis": {"format": ".0%", "tickCount": 5},
        "scale": {"domain": [floor, 1.0], "clamp": True, "nice": False},
    }
    legend = {
        "title": None,
        "orient": "bottom",
        "columns": {"expr": "width > 480 ? 5 : 2"},
        "symbolSize": 90,
        "labelLimit": 260,
    }
    series = {"field": "series", "type": "nominal", "legend": legend}
    look = {
        "stroke": {**series, "scale": {"domain": names, "range": stroke}},
        "fill": {**series, "scale": {"domain": names, "range": fill}},
        "shape": {**series, "scale": {"domain": names, "range": shape}},
    }
    said = [
        {"field": "label", "title": "allocation"},
        {"field": "x", "title": title, "format": ".3g"},
        {"field": "accuracy", "format": ".1%"},
        {"field": "low", "title": "95 % from", "format": ".1%"},
        {"field": "high", "title": "to", "format": ".1%"},
        {"field": "note", "title": "how"},
    ]
    bar = {"y": {**y, "field": "low"}, "y2": {"field": "high"}, "x": x, "stroke": look["stroke"]}
    size = {"condition": {"test": "indexof(datum.series, 'here') === 0", "value": 190}, "value": 70}
    return {
        "height": height,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "reference"},
                "mark": {"type": "rule", "color": GREY, "strokeDash": [2, 3]},
                "encoding": {"y": {**y, "field": "fp32"}},
            },
            {
                "data": {"name": "reference"},
                "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 4, "dy": -3, "color": GREY},
                "encoding": {"y": {**y, "field": "fp32"}, "x": {"value": 0}, "text": {"field": "text"}},
            },
            {
                "data": {"name": "path"},
                "mark": {"type": "line", "color": PURPLE, "strokeDash": [5, 4], "strokeWidth": 1.5, "opacity": 0.8},
                "encoding": {"x": x, "y": y},
            },
            {"data": {"name": "marks"}, "mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": bar},
            {
                "data": {"name": "marks"},
                "mark": {"type": "point", "strokeWidth": 2, "opacity": 1},
                "encoding": {"x": x, "y": y, **look, "size": size, "tooltip": said},
            },
            {
                "data": {"name": "marks"},
                "mark": {"type": "text", "align": "left", "dx": 8, "dy": 9, "color": VERMILLION, "fontWeight": "bold"},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
        ],
    }
