"""Every range estimator at every site: who wins where."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import GREY
from qexplore.figures.ranges.series import looks
from qexplore.figures.words import listed
from qexplore.metric import named

OVER = {"sqnr_db": "SQNR, dB", "accuracy": "accuracy"}
_TIE = {"sqnr_db": 0.05, "accuracy": 1e-9}  # differences that nobody would call a win
_FEW = 4  # bits


def contest(
    table: pd.DataFrame, sites: pd.DataFrame, *, over: str = "sqnr_db", picked: str = "", metric: str = "accuracy"
) -> Live:
    """A mark for each estimator over the index of each site; a line joins the marks of a site.

    table: ranges at one number of bits (site, method, bits, sqnr_db, accuracy). sites: site, index. over: a key of
    OVER; metric: "miou" where the accuracies are mean IoUs. The selection "mark" reports the site that is clicked.
    """
    index = dict(zip(sites["site"], sites["index"].astype(int), strict=True))
    rows = table[["site", "kind", "method", "bits", over]].rename(columns={over: "value"}).dropna()
    rows = rows[rows["value"].abs() != float("inf")].assign(index=lambda t: t["site"].map(index))
    ends = (
        rows.groupby(["site", "index"], as_index=False)["value"]
        .agg(["min", "max"])
        .assign(picked=lambda t: t["site"] == picked)
    )
    return Live(
        title="Marks of each estimator over the sites of the network.",
        name="contest",
        alt=_finding(rows, over),
        look="A long line is a site where the choice matters; a short one takes any range. Click a mark to pick its "
        "site.",
        data=rows[["site", "index", "kind", "method", "bits", "value"]].reset_index(drop=True),
        spec=_spec(rows, over, OVER[over] if over != "accuracy" else named(metric)),
        tables={"rows": rows.drop(columns="bits").round({"value": 5}), "ends": ends},
        picks="mark",
    )


def winners(rows: pd.DataFrame, over: str) -> pd.Series[int]:
    """Estimator → number of sites at which none is better; ties count for each."""
    best = rows.groupby("site")["value"].transform("max")
    return rows[rows["value"] >= best - _TIE[over]]["method"].value_counts()


def decisive(table: pd.DataFrame) -> tuple[str, int]:
    """Site and bits at which the estimators' measured accuracies are furthest apart; with more bits where equal.

    Where no accuracy was measured, their SQNR speaks instead, at so few bits that the network feels it.
    """
    over = "accuracy" if table["accuracy"].notna().any() else "sqnr_db"
    known = table[table[over].notna() & (table[over].abs() != float("inf"))]
    if over == "sqnr_db" and (known["bits"] <= _FEW).any():
        known = known[known["bits"] <= _FEW]
    each = known.groupby(["site", "bits"])[over]
    spread = (each.max() - each.min()).reset_index()
    first = spread.sort_values([over, "bits"], ascending=False).iloc[0]
    return str(first["site"]), int(first["bits"])


def _finding(rows: pd.DataFrame, over: str) -> str:
    if rows.empty:
        return "Nothing was measured at these bits."
    number = rows["site"].nunique()
    parts = [f"{method} at {count}" for method, count in winners(rows, over).items()]
    parts[0] += f" of {number} sites"
    each = rows.groupby("site")["value"]
    spread = (each.max() - each.min()).sort_values(ascending=False)
    return (
        f"Best, ties counted for each: {', '.join(parts)}. The choice matters most at "
        f"{listed([str(site) for site in spread.index[:3]])}."
    )


def _spec(rows: pd.DataFrame, over: str, title: str) -> dict[str, Any]:
    x = {
        "field": "index",
        "type": "quantitative",
        "title": "site index, in network order",
        "scale": {"nice": False, "padding": 8},
        "axis": {"tickMinStep": 1, "grid": False},
    }
    form = ".1~f" if over == "sqnr_db" else ".1~%"
    y = {
        "field": "value",
        "type": "quantitative",
        "title": title,
        "scale": {"zero": False},
        "axis": {"format": form},
    }
    names = list(dict.fromkeys(rows["method"]))
    said = [{"field": f} for f in ("site", "index", "kind", "method")] + [
        {"field": "value", "title": title, "format": ".2f" if over == "sqnr_db" else ".1%"}
    ]
    return {
        "height": 300,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "ends"},
                "mark": {"type": "rule", "color": GREY},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "min"},
                    "y2": {"field": "max"},
                    "strokeWidth": {"condition": {"test": "datum.picked", "value": 6}, "value": 1},
                    "opacity": {"condition": {"test": "datum.picked", "value": 0.6}, "value": 0.5},
                },
            },
            {
                "data": {"name": "rows"},
                "params": [{"name": "mark", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
                "mark": {"type": "point", "filled": True, "size": 46, "cursor": "pointer"},
                "encoding": {"x": x, "y": y, "opacity": {"value": 1}, "tooltip": said, **looks(names)},
            },
        ],
    }
