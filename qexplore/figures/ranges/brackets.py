"""The values of one site, and under them the range that every estimator gives it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.grid import Values
from qexplore.figures.palette import BLUE, GREY, VERMILLION
from qexplore.figures.words import decibels

_BINS = 96
_ROW = 24  # pixels a bracket
_HILL = 200  # pixels of the histogram
_CAP, _LIFT = 8, -10  # pixels: the end of a bracket, and its words clear of that
_AXIS = 46  # pixels of the axis below


def brackets(values: Values, table: pd.DataFrame, site: str, *, picked: str = "", stored: str = "") -> Live:
    """Binned sample values over one bracket an estimator, on the same axis; counts on a logarithmic scale, so that
    tails show.

    values: sample of the site, any shape, in its own unit. table: rows of this site at one number of bits (method, lo,
    hi, sqnr_db). picked, stored: methods that are marked.
    """
    x = np.asarray(values, float).ravel()
    rows = table[["method", "lo", "hi", "sqnr_db"]].reset_index(drop=True)
    low, high = min(float(x.min()), float(rows["lo"].min())), max(float(x.max()), float(rows["hi"].max()))
    counts, edges = np.histogram(x, bins=_BINS, range=(low, high if high > low else low + 1))
    step = _ROW / _HILL  # the axis counts in heights of the histogram
    bins = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "count": counts})
    bins["tall"] = np.log1p(counts) / np.log1p(max(counts.max(), 1))
    rows["y"] = -step * (rows.index + 0.9)
    rows["picked"], rows["stored"] = rows["method"] == picked, rows["method"] == stored
    rows["label"] = rows["method"] + np.where(rows["stored"], " (stored)", "")
    rows["sqnr"] = [decibels(value) for value in rows["sqnr_db"]]
    return Live(
        title="Histogram of the values of one site over the range of each estimator.",
        name=f"ranges-{site}",
        alt=_finding(rows, site, x.size),
        look="The bars are the values, counts on a logarithmic scale; each bracket is the range of one estimator, its "
        "SQNR on the right. What lies outside a bracket is clipped; the wider the bracket, the coarser the grid in it.",
        data=rows[["method", "lo", "hi", "sqnr_db"]],
        spec=_spec(len(rows)),
        tables={"bins": bins, "brackets": rows},
    )


def _finding(rows: pd.DataFrame, site: str, size: int) -> str:
    best, worst = rows.nlargest(1, "sqnr_db").iloc[0], rows.nsmallest(1, "sqnr_db").iloc[0]
    return (
        f"{size:,} values of {site}: {best['method']} keeps {decibels(best['sqnr_db'])} with {best['lo']:.3g} to "
        f"{best['hi']:.3g}, {worst['method']} {decibels(worst['sqnr_db'])} with {worst['lo']:.3g} to {worst['hi']:.3g}."
    )


def _spec(number: int) -> dict[str, Any]:
    depth = _ROW / _HILL * (number + 0.4)
    x = {"field": "from", "type": "quantitative", "title": "value", "scale": {"nice": False, "zero": False}}
    y = {
        "field": "tall",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [-depth, 1.02], "nice": False},
    }
    bar = {"field": "from", "format": ".3g"}, {"field": "to", "format": ".3g"}, {"field": "count"}
    return {
        "height": _HILL + int(_ROW * (number + 0.4)) + _AXIS,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "bins"},
                "mark": {"type": "bar", "binSpacing": 0, "color": BLUE},
                "encoding": {
                    "x": {**x, "bin": {"binned": True}},
                    "x2": {"field": "to"},
                    "y": y,
                    "y2": {"datum": 0},
                    "tooltip": list(bar),
                },
            },
            _bracket(x, y, {"type": "rule"}, {"x2": {"field": "hi"}}, "lo"),
            _bracket(x, y, {"type": "tick", "orient": "vertical", "size": _CAP, "thickness": 2}, {}, "lo"),
            _bracket(x, y, {"type": "tick", "orient": "vertical", "size": _CAP, "thickness": 2}, {}, "hi"),
            _label("label", {"x": {"value": 2}}, "left"),
            _label("sqnr", {"x": {"value": "width"}}, "right"),
        ],
    }


def _bracket(
    x: dict[str, Any], y: dict[str, Any], mark: dict[str, Any], more: dict[str, Any], end: str
) -> dict[str, Any]:
    said = [{"field": "method"}, *({"field": f, "format": ".4g"} for f in ("lo", "hi"))]
    return {
        "data": {"name": "brackets"},
        "mark": mark,
        "encoding": {
            "x": {**x, "field": end},
            **more,
            "y": {**y, "field": "y"},
            "color": {"condition": {"test": "datum.picked", "value": VERMILLION}, "value": GREY},
            **({"strokeWidth": {"condition": {"test": "datum.picked", "value": 4}, "value": 2}} if more else {}),
            "tooltip": said,
        },
    }


def _label(field: str, x: dict[str, Any], align: str) -> dict[str, Any]:
    return {
        "data": {"name": "brackets"},
        "mark": {"type": "text", "align": align, "dy": _LIFT, "fontSize": 11},
        "encoding": {
            **x,
            "y": {"field": "y", "type": "quantitative"},
            "text": {"field": field},
            "color": {"condition": {"test": "datum.picked", "value": VERMILLION}, "value": GREY},
        },
    }
