"""What each step of a recipe adds to the accuracy of the quantized network, or takes from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.ladder import ROW, column, ladder
from qexplore.figures.palette import BLUE, GREEN, GREY, PURPLE, VERMILLION
from qexplore.figures.words import metric_of, percent, points, seconds
from qexplore.metric import named

KINDS = {"FP32": GREY, "total": BLUE, "gain": GREEN, "loss": VERMILLION, "same": GREY, "switched": PURPLE}
_COLUMNS = ["row", "kind", "start", "end", "low", "high", "images", "points", "seconds", "text"]


def waterfall(table: pd.DataFrame, now: Mapping[str, Any] | None = None) -> Live:
    """Floating bars from the network without any optional step down to the complete recipe, FP32 as a dashed line.

    table: an ablation of one recipe (group, name, step, accuracy, low, high, images, seconds, of masks metric;
    fractions and seconds).
    now: another variant beside it: name, accuracy, low, high, images, seconds.
    """
    steps = table[table["group"] == "build-up"]
    fp32 = _records(table[table["group"] == "reference"])[0]
    measure = named(metric_of(table))
    floor = _floor([*steps["low"], *([now["low"]] if now else [])])
    rows = [_total("FP32", "FP32", fp32, float(fp32["accuracy"])), *_built(steps, floor)]
    if now:
        rows.append(_total(str(now["name"]), "switched", now, floor))
    bars = pd.DataFrame(rows, columns=_COLUMNS)
    return Live(
        title=f"Floating bars: what each step of a recipe adds to the {measure}, or takes from it.",
        name="waterfall",
        alt=_finding(steps, float(fp32["accuracy"])),
        look=f"Read downwards: every step starts where the one above ended. {_axis(floor)} The thin line under a bar "
        f"is the 95 % interval of the {measure} that it ends at; + and − are points of {measure}. Grey: a change that "
        "stays within the interval of the bar above.",
        data=table.drop(columns=["recipe"], errors="ignore").reset_index(drop=True),
        spec=_spec(floor, measure),
        tables={"bars": bars, "links": _links(bars), "reference": bars[["end"]].head(1)},
    )


def _built(steps: pd.DataFrame, floor: float) -> list[dict[str, Any]]:
    """Rows of the bars: none of the steps, each step from where the one before ended, the complete recipe."""
    found = _records(steps)
    rows = [_total("no optional step" if len(found) > 1 else "complete recipe", "total", found[0], floor)]
    for before, row in pairwise(found):
        change = float(row["accuracy"] - before["accuracy"])
        took = max(float(row["seconds"] - before["seconds"]), 0.0)
        rows.append(
            {
                **_ends(row),
                "row": row["step"],
                "kind": _kind(before, row),
                "start": before["accuracy"],
                "points": 100 * change,
                "seconds": took,
                "text": f"{points(change)}\n{_took(took)}",
            }
        )
    return rows if len(found) == 1 else [*rows, _total("complete recipe", "total", found[-1], floor)]


def _kind(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Nothing where the accuracy after a step lies in the 95 % interval of the one before it."""
    if before["low"] <= after["accuracy"] <= before["high"]:
        return "same"
    return "loss" if after["accuracy"] < before["accuracy"] else "gain"


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _total(name: str, kind: str, row: Mapping[str, Any], floor: float) -> dict[str, Any]:
    """A bar from the foot of the axis to an accuracy."""
    took = "" if kind == "FP32" or row.get("seconds") is None else f"\n{_took(float(row['seconds']))}"
    text = f"{percent(row['accuracy'])}{took}"
    return {**_ends(row), "row": name, "kind": kind, "start": floor, "seconds": row.get("seconds"), "text": text}


def _took(value: float) -> str:
    return "< 1 ms" if value < 0.001 else seconds(value)


def _ends(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"end": row["accuracy"], "low": row["low"], "high": row["high"], "images": int(row["images"])}


def _links(rows: pd.DataFrame) -> pd.DataFrame:
    """Thin lines that carry the end of one bar to the start of the next."""
    floating = rows["kind"].isin(["gain", "loss", "same"])
    chain = rows[floating | floating.shift(-1, fill_value=False) | floating.shift(1, fill_value=False)]
    below = chain["row"].shift(-1)
    return pd.DataFrame({"at": chain["end"], "row": chain["row"], "below": below}).dropna()


def _floor(lows: list[float]) -> float:
    """Foot of the axis: 0 where accuracies fall far, else low enough to show the intervals."""
    least = min(lows)
    return 0.0 if least < 0.6 else math.floor(100 * (least - 0.005)) / 100


def _axis(floor: float) -> str:
    return f"The axis begins at {percent(floor, 0)}." if floor > 0 else "The axis begins at 0 %."


def _finding(steps: pd.DataFrame, fp32: float) -> str:
    first, last = steps.iloc[0], steps.iloc[-1]
    if len(steps) == 1:
        return f"The recipe has no optional step; it ends at {percent(last['accuracy'])}, FP32 {percent(fp32)}."
    changes = steps["accuracy"].diff().iloc[1:]
    each = ", ".join(f"{step} {points(change)}" for step, change in zip(steps["step"].iloc[1:], changes, strict=True))
    return (
        f"From {percent(first['accuracy'])} with no optional step to {percent(last['accuracy'])} with all of them: "
        f"{each}; FP32 {percent(fp32)}."
    )


def _spec(floor: float, measure: str) -> dict[str, Any]:
    domain = [floor, 1.0]
    x = {
        "field": "end",
        "type": "quantitative",
        "title": measure,
        "scale": {"domain": domain, "range": [0, {"expr": "width - 92"}], "nice": False, "clamp": True},
        "axis": {"format": ".0%" if floor == 0 or floor < 0.97 else ".1%", "tickCount": 5, "grid": True},
    }
    colour = {
        "field": "kind",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": list(KINDS), "range": list(KINDS.values())},
    }
    said = [
        {"field": "row", "title": "step"},
        {"field": "end", "title": measure, "format": ".1%"},
        {"field": "low", "title": "95 % from", "format": ".1%"},
        {"field": "high", "title": "to", "format": ".1%"},
        {"field": "images"},
        {"field": "points", "title": "change, points", "format": "+.1f"},
        {"field": "seconds", "format": ".2f"},
    ]
    link = {"x": {**x, "field": "at"}, "y": {**ROW, "field": "row"}, "y2": {"field": "below"}}
    return {
        "height": {"step": 37},
        "width": "container",
        "padding": PADDING,
        "layer": [
            *ladder(x, colour, said),
            {"data": {"name": "links"}, "mark": {"type": "rule", "color": GREY, "strokeWidth": 1}, "encoding": link},
            {
                "data": {"name": "reference"},
                "mark": {"type": "rule", "color": GREY, "strokeDash": [4, 3], "strokeWidth": 1.5},
                "encoding": {"x": x},
            },
            column(),
        ],
    }
