"""The accuracy of the network with each range of one site."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREY, VERMILLION
from qexplore.figures.words import measured, percent
from qexplore.metric import named, titled

_ROW = 30  # pixels
_DASH = 11  # pixels of a row that the line of FP32 takes: it leaves the number above each mark readable


def outcomes(table: pd.DataFrame, site: str, *, fp32: float, picked: str = "", metric: str = "accuracy") -> Live:
    """Measured accuracies with their 95 % intervals, a row a range; FP32 as a dash in each row.

    table: range, accuracy, low, high, images; NaN where nothing was measured. fp32: fraction. metric: "miou" where the
    accuracies are mean IoUs.
    """
    rows = table[["range", "accuracy", "low", "high", "images"]].reset_index(drop=True)
    known = rows.dropna().assign(
        picked=lambda t: t["range"] == picked, said=lambda t: [percent(value) for value in t["accuracy"]]
    )
    return Live(
        title=f"{titled(metric)} of the network with each range of one site, with intervals.",
        name=f"outcomes-{site}",
        alt=_finding(known, site, named(metric)),
        look="Measured on the evaluation images, with 95 % intervals; the dashes are FP32.",
        data=rows,
        spec=_spec(named(metric)),
        tables={
            "rows": rows.assign(accuracy=rows["accuracy"].fillna(fp32)),
            "known": known,
            "fp32": rows[["range"]].assign(fp32=fp32),
        },
    )


def _finding(known: pd.DataFrame, site: str, measure: str) -> str:
    if known.empty:
        return f"No {measure} has been measured with other ranges of {site}."
    best, worst = known.nlargest(1, "accuracy").iloc[0], known.nsmallest(1, "accuracy").iloc[0]
    ends = [
        f"{row['range']}: {measured(row['accuracy'], row['low'], row['high'], int(row['images']))}"
        for row in (best, worst)
    ]
    return f"Ranges of {site}: best {ends[0]}; worst {ends[1]}."


def _spec(measure: str) -> dict[str, Any]:
    y = {"field": "range", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False, "labelLimit": 130}}
    x = {
        "field": "accuracy",
        "type": "quantitative",
        "title": f"{measure} of the network",
        "scale": {"zero": False},
        "axis": {"format": ".1~%", "tickCount": 5},
    }
    colour = {"condition": {"test": "datum.picked", "value": VERMILLION}, "value": BLUE}
    said = [
        {"field": "range"},
        {"field": "accuracy", "title": measure, "format": ".1%"},
        *({"field": f, "format": ".1%"} for f in ("low", "high")),
        {"field": "images"},
    ]
    known: dict[str, Any] = {"data": {"name": "known"}}
    return {
        "height": {"step": _ROW},
        "width": "container",
        "padding": {**PADDING, "right": 8},
        "layer": [
            {"data": {"name": "rows"}, "mark": {"type": "point", "opacity": 0}, "encoding": {"y": y, "x": x}},
            {
                "data": {"name": "fp32"},
                "mark": {"type": "tick", "color": GREY, "size": _DASH, "thickness": 1.5, "opacity": 1},
                "encoding": {"y": y, "x": {**x, "field": "fp32"}},
            },
            {
                **known,
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": colour},
            },
            {
                **known,
                "mark": {"type": "point", "filled": True, "size": 75, "opacity": 1},
                "encoding": {"y": y, "x": x, "color": colour, "tooltip": said},
            },
            {
                **known,
                "mark": {"type": "text", "dy": -9, "fontSize": 11, "fontWeight": "bold"},
                "encoding": {"y": y, "x": x, "text": {"field": "said"}, "color": colour},
            },
        ],
    }
