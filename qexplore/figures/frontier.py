"""Accuracy over the budget: what was measured, what is predicted, and where one stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREEN, GREY, PURPLE, VERMILLION
from qexplore.figures.words import percent
from qexplore.metric import named, titled

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
_COLUMNS = ["series", "label", "x", "accuracy", "low", "high", "note"]
_ROOM = {"narrow": 260, "wide": 640}  # pixels of the plot on a phone and beside other things, at the least
_LETTER, _GAP = 6.5, 12  # pixels of a letter of a tag, and of the point before it
_ROWS = 3  # of tags over each other; what finds no room there is left to the pointer


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
    metric: str = "accuracy",
) -> Live:
    """Measured points, the predicted path of the slider, and the present allocation.

    points: measured allocations with label, `axis`, accuracy, low, high, images; labels "uniform W…A…" are baselines.
    path: columns `axis` and accuracy: predicted accuracy (fraction) as this budget alone moves.
    here: `axis`, predicted, and, once measured, accuracy, low, high, images; None for no place.
    fp32: fraction; images: how many of the evaluation images served for all of it, None for all of them.
    tried: more measured allocations, of this visit, with the columns of points. metric: "miou" where all accuracies
    are mean IoUs.
    """
    floor = _floor(points, fp32, here)
    parts = [_measured(points, axis), _tried(tried, axis), _here(here, axis)]
    marks = pd.concat([part for part in parts if len(part)], ignore_index=True)
    same = f" on the same {images:,} images" if images else ""
    reference = pd.DataFrame({"fp32": [fp32], "text": [f"FP32 {percent(fp32)}{same}"]})
    return Live(
        title=f"{titled(metric)} over the budget: measured points, the predicted path, and the present allocation.",
        name="frontier",
        alt=_finding(points, here, fp32, axis, metric),
        look="Filled: measured, with 95 % intervals. Hollow and dashed: predicted. Squares: W bits for all weights, A "
        "for all activations; mixed bits pay where they lie above them.",
        data=marks,
        spec=_spec(AXES[axis], height, named(metric)),
        tables={
            "marks": _placed(marks, floor),
            "path": _above(path[axis].tolist(), path["accuracy"].tolist(), floor),
            "reference": reference,
            "ends": pd.DataFrame({"end": [floor, 1.0]}),
        },
    )


def _measured(points: pd.DataFrame, axis: str) -> pd.DataFrame:
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
        }
    )
    return rows[_COLUMNS]


def _tried(tried: pd.DataFrame | None, axis: str) -> pd.DataFrame:
    if tried is None or tried.empty:
        return pd.DataFrame(columns=_COLUMNS)
    return _measured(tried, axis).assign(series=TRIED)


def _here(here: Mapping[str, Any] | None, axis: str) -> pd.DataFrame:
    if here is None:
        return pd.DataFrame(columns=_COLUMNS)
    x, guess = here[axis], here["predicted"]
    rows = [(HERE, "this allocation", x, guess, guess, guess, "predicted, not measured")]
    if here.get("accuracy") is not None:
        note = f"measured on {here['images']:,} images"
        rows.append((HERE_MEASURED, "this allocation", x, here["accuracy"], here["low"], here["high"], note))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _floor(points: pd.DataFrame, fp32: float, here: Mapping[str, Any] | None) -> float:
    """Lower end of the accuracy axis: low enough for all but collapsed points, so that the rest stays legible, and for
    the place where one is; for that in tens of percents, so that the axis rests while the place moves, and with room
    for what stands at its foot.
    """
    usable = points.loc[points["accuracy"] > fp32 - 0.5, "low"]
    lowest = float(usable.min()) if len(usable) else fp32 - 0.5
    floor = round(lowest - 0.02, 2)
    own = [float(here[key]) for key in ("predicted", "low") if here.get(key) is not None] if here else []
    if own and min(own) < floor:
        floor = math.floor(10 * min(own) - 1) / 10
    return max(0.0, floor)


def _placed(marks: pd.DataFrame, floor: float) -> pd.DataFrame:
    """The marks with where they are drawn (y, from, to): those below the axis at its foot. tag: bits of a baseline.
    below: what stands at the foot, with the accuracy; narrow, wide: the row where it finds room, by the plot's width.
    """
    drawn = marks.assign(
        **{name: marks[of].clip(lower=floor) for name, of in (("y", "accuracy"), ("from", "low"), ("to", "high"))}
    )
    bits = [
        label.removeprefix("uniform").strip() if series == UNIFORM else ""
        for label, series in zip(marks["label"], marks["series"], strict=True)
    ]
    sunk = (marks["accuracy"] < floor).tolist()
    below = [f"{name} ↓ {percent(value, 0)}".strip() for name, value in zip(bits, marks["accuracy"], strict=True)]
    drawn["tag"] = ["" if low else name for name, low in zip(bits, sunk, strict=True)]
    drawn["below"] = [text if low else "" for text, low in zip(below, sunk, strict=True)]
    for name, room in _ROOM.items():
        drawn[name] = _rows(drawn["x"].tolist(), drawn["below"].tolist(), room)
    return drawn


def _rows(x: Sequence[float], texts: Sequence[str], room: float) -> list[int]:
    """The row of each text, the lowest where it covers no other; -1 for none. room: pixels of the whole axis."""
    scale = room / ((max(x) - min(x)) or 1.0)
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_ROWS)]
    rows = []
    for place, text in zip(x, texts, strict=True):
        start, end = place * scale, place * scale + _GAP + _LETTER * len(text)
        free = (row for row, others in enumerate(taken) if all(end <= a or b <= start for a, b in others))
        row = next(free, -1) if text else -1
        if row >= 0:
            taken[row].append((start, end))
        rows.append(row)
    return rows


def _above(x: Sequence[float], accuracy: Sequence[float], floor: float) -> pd.DataFrame:
    """The path as far as it lies on the axis; it ends where it crosses its foot."""
    corners = list(zip(x, accuracy, strict=True))
    crossings = [
        (a + (b - a) * (floor - low) / (high - low), floor)
        for (a, low), (b, high) in pairwise(corners)
        if (low < floor) != (high < floor)
    ]
    kept = [corner for corner in corners if corner[1] >= floor]
    return pd.DataFrame(sorted(kept + crossings), columns=["x", "accuracy"], dtype=float)


def _finding(points: pd.DataFrame, here: Mapping[str, Any] | None, fp32: float, axis: str, metric: str) -> str:
    where = f"{titled(metric)} over {AXES[axis]}"
    if here is not None:
        where = f"Here, at {here[axis]:.3g} {AXES[axis]}: predicted {percent(here['predicted'])}"
        where += f", measured {percent(here['accuracy'])}" if here.get("accuracy") is not None else ""
    uniform = points[points["label"].str.startswith("uniform")]
    bits = ", ".join(f"{label} {percent(value)}" for label, value in zip(uniform["label"], uniform["accuracy"]))
    return f"{where}; FP32 {percent(fp32)}; measured: {bits}." if bits else f"{where}; FP32 {percent(fp32)}."


def _spec(title: str, height: int, measure: str) -> dict[str, Any]:
    names = list(_SERIES)
    stroke, fill, shape = (list(column) for column in zip(*_SERIES.values()))
    x = {"field": "x", "type": "quantitative", "title": title, "scale": {"zero": False, "nice": False, "padding": 14}}
    y = {
        "field": "y",
        "type": "quantitative",
        "title": measure,
        "axis": {"format": ".0%", "tickCount": 5},
        "scale": {"zero": False, "nice": False},
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
        {"field": "accuracy", "title": measure, "format": ".1%"},
        {"field": "low", "title": "95 % from", "format": ".1%"},
        {"field": "high", "title": "to", "format": ".1%"},
        {"field": "note", "title": "how"},
    ]
    bar = {"y": {**y, "field": "from"}, "y2": {"field": "to"}, "x": x, "stroke": look["stroke"]}
    tests = [{"test": f"datum.series === '{name}'", "value": of[0]} for name, of in _SERIES.items()]
    tag = {"type": "text", "align": "left", "dx": 8, "fontWeight": "bold"}
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
                "encoding": {"x": x, "y": {**y, "field": "accuracy"}},
            },
            {"data": {"name": "marks"}, "mark": {"type": "rule", "strokeWidth": 1.5}, "encoding": bar},
            {
                "data": {"name": "marks"},
                "mark": {"type": "point", "strokeWidth": 2, "opacity": 1},
                "encoding": {"x": x, "y": y, **look, "size": size, "tooltip": said},
            },
            {
                "data": {"name": "marks"},
                "mark": {**tag, "dy": 9, "color": VERMILLION},
                "encoding": {"x": x, "y": y, "text": {"field": "tag"}},
            },
            {
                "data": {"name": "marks"},
                "transform": [
                    {"calculate": "width > 480 ? datum.wide : datum.narrow", "as": "row"},
                    {"filter": "datum.row >= 0"},
                    {"calculate": "height + 8 - 15 * datum.row", "as": "pixel"},
                ],
                "mark": tag,
                "encoding": {
                    "x": x,
                    "y": {"field": "pixel", "type": "quantitative", "scale": None, "axis": None},
                    "text": {"field": "below"},
                    "color": {"condition": tests, "value": GREY},
                },
            },
            {
                "data": {"name": "ends"},
                "mark": {"type": "rule", "opacity": 0},
                "encoding": {"y": {**y, "field": "end"}},
            },
        ],
    }
