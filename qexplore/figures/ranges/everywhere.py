"""One estimator for all sites of a kind: the accuracy over bits."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import GREY
from qexplore.figures.ranges.series import looks
from qexplore.figures.words import percent
from qexplore.metric import named, titled


def everywhere(table: pd.DataFrame, kind: str, *, fp32: float, metric: str = "accuracy") -> Live:
    """A line an estimator through the measured accuracies at each number of bits, with 95 % intervals.

    table: kind, method, bits, accuracy, low, high, images. kind: "weight" or "activation". fp32: fraction. metric:
    "miou" where the accuracies are mean IoUs.
    """
    rows = table[table["kind"] == kind].reset_index(drop=True)
    return Live(
        title=f"{titled(metric)} over bits, a line for each estimator used for all {kind}s.",
        name=f"everywhere-{kind}",
        alt=_finding(rows, kind),
        look=f"All {kind}s have the bits on the axis and ranges by one estimator; the other side stays as stored. "
        "Where lines part, the choice of a range decides. The dotted line is FP32.",
        data=rows,
        spec=_spec(list(dict.fromkeys(rows["method"])), named(metric)),
        tables={"rows": rows, "fp32": pd.DataFrame({"fp32": [fp32]})},
    )


def _finding(rows: pd.DataFrame, kind: str) -> str:
    if rows.empty:
        return f"No estimator was measured for all {kind}s."
    spread = rows.groupby("bits")["accuracy"].agg(lambda v: v.max() - v.min())
    at = rows[rows["bits"] == spread.sort_values().index[-1]]
    best, worst = at.nlargest(1, "accuracy").iloc[0], at.nsmallest(1, "accuracy").iloc[0]
    return (
        f"All {kind}s at {int(best['bits'])} bits: {best['method']} keeps {percent(best['accuracy'])}, "
        f"{worst['method']} {percent(worst['accuracy'])}, on {int(best['images']):,} images."
    )


def _spec(names: list[str], measure: str) -> dict[str, Any]:
    x = {"field": "bits", "type": "ordinal", "title": "bits", "axis": {"labelAngle": 0}}
    y = {"field": "accuracy", "type": "quantitative", "title": measure, "axis": {"format": ".0%", "tickCount": 5}}
    look = looks(names)
    said = [
        {"field": "method"},
        {"field": "bits"},
        {"field": "accuracy", "title": measure, "format": ".1%"},
        *({"field": f, "format": ".1%"} for f in ("low", "high")),
    ]
    rows: dict[str, Any] = {"data": {"name": "rows"}}
    return {
        "height": 190,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "fp32"},
                "mark": {"type": "rule", "color": GREY, "strokeDash": [3, 3]},
                "encoding": {"y": {**y, "field": "fp32"}},
            },
            {
                **rows,
                "mark": {"type": "rule", "opacity": 0.45},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": look["color"]},
            },
            {**rows, "mark": {"type": "line"}, "encoding": {"x": x, "y": y, "color": look["color"]}},
            {
                **rows,
                "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
                "encoding": {"x": x, "y": y, "tooltip": said, **look},
            },
        ],
    }
