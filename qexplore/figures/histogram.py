"""The values of one site on its grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.grid import Grid, Values
from qexplore.figures.palette import BLUE, GREY, OCHRE
from qexplore.figures.words import percent

_BINS = 72
_MOST_LINES = 33


def histogram(values: Values, on: Grid, site: str = "", *, height: int = 150) -> Live:
    """Binned sample values with the grid's points; lines are left out where they would merge into a block.

    values: sample of the site, any shape, in its own unit.
    """
    x = np.asarray(values, float).ravel()
    low, high = min(float(x.min()), on.low), max(float(x.max()), on.high)
    counts, edges = np.histogram(x, bins=_BINS, range=(low, high if high > low else low + 1))
    bins = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "count": counts})
    middle = (bins["from"] + bins["to"]) / 2
    bins["where"] = np.where((middle < on.low) | (middle > on.high), "clipped", "inside the grid")
    points = on.points()
    drawn = points if len(points) <= _MOST_LINES else np.array([on.low, on.high])
    return Live(
        title="Histogram of the values of one site with the points of its grid.",
        name=f"values-{site}" if site else "values",
        alt=_finding(x, on, site),
        look="Each value moves to the nearest line. Ochre bars lie outside the grid and are clipped.",
        data=bins,
        spec=_spec(height),
        tables={"bins": bins, "lines": pd.DataFrame({"x": drawn})},
    )


def _finding(x: Values, on: Grid, site: str) -> str:
    span = f"{on.last - on.first + 1} grid points from {on.low:.3g} to {on.high:.3g}"
    error = f"{percent(on.clipped(x), 2)} clipped, SQNR {on.sqnr_db(x):.1f} dB"
    return f"{x.size:,} values of {site or 'the tensor'} on {span}: {error}."


def _spec(height: int) -> dict[str, Any]:
    x = {"field": "from", "type": "quantitative", "title": "value", "scale": {"nice": False, "zero": False}}
    names = ["inside the grid", "clipped"]
    count = {"field": "count", "type": "quantitative", "title": "count"}
    colour = {"field": "where", "scale": {"domain": names, "range": [BLUE, OCHRE]}, "legend": None}
    return {
        "height": height,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "bins"},
                "mark": {"type": "bar", "binSpacing": 0},
                "encoding": {
                    "x": {**x, "bin": {"binned": True}},
                    "x2": {"field": "to"},
                    "y": {**count, "axis": {"tickCount": 3}},
                    "color": colour,
                    "tooltip": [
                        {"field": "from", "format": ".3g"},
                        {"field": "to", "format": ".3g"},
                        {"field": "count"},
                    ],
                },
            },
            {
                "data": {"name": "lines"},
                "mark": {"type": "rule", "color": GREY, "strokeWidth": 1},
                "encoding": {"x": {**x, "field": "x"}},
            },
        ],
    }
