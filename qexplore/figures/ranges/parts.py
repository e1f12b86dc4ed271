"""What every estimator loses at one site, by rounding and by clipping, and the accuracy that is left."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREY, OCHRE, VERMILLION
from qexplore.figures.words import decibels, percent

PARTS = {"rounding": BLUE, "clipping": OCHRE}
_ROW = 27  # pixels


def parts(table: pd.DataFrame, site: str, *, picked: str = "") -> Live:
    """Stacked bars of the mean squared error, a bar an estimator, its SQNR beside it.

    table: rows of this site at one number of bits (method, rounding, clipping in the unit of the site squared,
    sqnr_db).
    """
    rows = table[["method", "rounding", "clipping", "sqnr_db"]].reset_index(drop=True)
    ends = rows.assign(
        total=rows["rounding"] + rows["clipping"],
        sqnr=[decibels(value) for value in rows["sqnr_db"]],
        picked=rows["method"] == picked,
    )
    long = rows.melt(["method", "sqnr_db"], list(PARTS), "part", "error")
    return Live(
        title="Stacked bars of the error of each estimator at one site, rounding and clipping.",
        name=f"parts-{site}",
        alt=_finding(ends, site),
        look="Blue is lost by rounding, ochre by clipping: a good range pays a little of the second to save much of "
        "the first.",
        data=rows,
        spec=_spec(),
        tables={"parts": long, "ends": ends},
    )


def _finding(ends: pd.DataFrame, site: str) -> str:
    best = ends.nsmallest(1, "total").iloc[0]
    share = best["clipping"] / best["total"] if best["total"] > 0 else 0.0
    return f"{site}: least error by {best['method']}, {best['sqnr']}; {percent(share, 0)} of it is clipping."


def _spec() -> dict[str, Any]:
    y = {"field": "method", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False, "labelLimit": 130}}
    x = {
        "field": "error",
        "type": "quantitative",
        "title": "mean squared error, unit of the site squared",
        "axis": {"format": ".2~g", "tickCount": 4},
    }
    names = {"domain": list(PARTS), "range": list(PARTS.values())}
    return {
        "height": {"step": _ROW},
        "width": "container",
        "padding": {**PADDING, "right": 52},
        "layer": [
            {
                "data": {"name": "parts"},
                "mark": {"type": "bar", "height": {"band": 0.62}},
                "encoding": {
                    "y": y,
                    "x": x,
                    "color": {"field": "part", "scale": names, "legend": {"title": None, "orient": "bottom"}},
                    "order": {"field": "part", "sort": "descending"},
                    "tooltip": [{"field": "method"}, {"field": "part"}, {"field": "error", "format": ".3e"}],
                },
            },
            {
                "data": {"name": "ends"},
                "mark": {"type": "text", "align": "left", "dx": 5, "fontSize": 11, "fontWeight": "bold"},
                "encoding": {
                    "y": y,
                    "x": {**x, "field": "total"},
                    "text": {"field": "sqnr"},
                    "color": {"condition": {"test": "datum.picked", "value": VERMILLION}, "value": GREY},
                },
            },
        ],
    }
