"""Sensitivity of every site at every bit width."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.metrics import scale_of
from qexplore.figures.palette import VERMILLION
from qexplore.figures.words import POWERS, listed, small

ORDERS = {"network": "network order", "loss": "worst first"}
_SMALLEST = 1e-12
_MOST_MARKS = 5  # of the scale of colours


def heatmap(
    table: pd.DataFrame,
    *,
    metric: str,
    picked: str = "",
    bits: Mapping[str, int] | None = None,
    order: str = "network",
) -> Live:
    """Site × bits, coloured by the logarithm of what the site costs by `metric`.

    table: sensitivity by it (site, index, kind, bits, loss). Losses at or below zero are drawn as the smallest positive
    one. bits: an allocation whose cells are ringed. order: "network" or "loss".
    The selection "cell" reports site and bits.
    """
    rows, scale = table[["site", "index", "kind", "bits", "loss"]].reset_index(drop=True), scale_of(metric)
    return Live(
        title=f"Heat map of sites by bits: {scale.title}.",
        name="sensitivity",
        alt=_finding(rows, scale.title),
        look="Dark cells hurt: bright columns may shrink first. Colour is logarithmic, one step is a factor, not a "
        f"difference. {scale.means} Click a cell to pick its site on all pages.",
        data=rows,
        spec=_spec(ORDERS[order], sorted(rows["bits"].astype(str).unique(), key=int), scale.title, _decades(rows)),
        tables={"sites": _by_site(rows, picked, dict(bits or {}), order)},
        picks="cell",
    )


def _by_site(rows: pd.DataFrame, picked: str, chosen: Mapping[str, int], order: str) -> pd.DataFrame:
    """A row a site, its losses in columns named by the bits, so that hundreds of sites stay small on their way."""
    wide = rows.pivot_table(index=["site", "index", "kind"], columns="bits", values="loss")
    floor = _floor(rows)
    shown = wide.clip(lower=floor)
    ranks = shown.sum(axis=1).rank(ascending=False, method="first").astype(int) - 1
    losses = wide.map(lambda loss: float(f"{loss:.4g}")).rename(columns=str)
    found = losses.assign(floor=floor).reset_index()
    return found.assign(
        rank=found["index"] if order == "network" else ranks.to_numpy(),
        picked=found["site"] == picked,
        ringed=found["site"].map(chosen).fillna(0).astype(int).astype(str),
    )


def _floor(rows: pd.DataFrame) -> float:
    """The smallest loss that has a colour of its own."""
    positive = rows.loc[rows["loss"] > _SMALLEST, "loss"]
    return float(positive.min()) if len(positive) else _SMALLEST


def _finding(rows: pd.DataFrame, title: str) -> str:
    if rows.empty:
        return "No sensitivities."
    fewest = int(rows["bits"].min())
    at = rows[rows["bits"] == fewest].sort_values("loss", ascending=False)
    worst, most = listed(at["site"].tolist()[:3]), small(float(at["loss"].iloc[0]))
    return f"At {fewest} bits {worst} cost most: {title}, up to {most}."


def _decades(rows: pd.DataFrame) -> list[float]:
    """Powers of ten within the losses that have a colour of their own, every second or third of many."""
    if rows.empty:
        return []
    first = math.ceil(math.log10(_floor(rows)))
    last = math.floor(math.log10(max(float(rows["loss"].max()), _SMALLEST)))
    return [10.0**power for power in range(last, first - 1, -1 - (last - first) // _MOST_MARKS)][::-1]


def _spec(order: str, bits: list[str], title: str, marks: list[float]) -> dict[str, Any]:
    x = {
        "field": "rank",
        "type": "ordinal",
        "title": "site index" if order == "network order" else "sites, worst first",
        "axis": {"labelOverlap": True, "labelAngle": 0, "ticks": False, "domain": False},
    }
    every = {"ticks": False, "domain": False, "labelOverlap": False}
    y = {"field": "bits", "type": "ordinal", "sort": bits, "title": "bits", "axis": every}
    colour = {
        "field": "shown",
        "type": "quantitative",
        "scale": {"type": "log", "scheme": "cividis", "reverse": True},
        "legend": {
            "title": title,
            "orient": "bottom",
            "gradientLength": 220,
            "labelExpr": POWERS,
            "values": marks,
        },
    }
    said: list[dict[str, Any]] = [{"field": f} for f in ("site", "index", "kind", "bits")]
    said.append({"field": "loss", "type": "quantitative", "title": title, "format": ".3g"})
    return {
        "height": 34 * len(bits) + 60,
        "width": "container",
        "padding": PADDING,
        "data": {"name": "sites"},
        "transform": [
            {"fold": bits, "as": ["bits", "loss"]},
            {"calculate": "max(datum.loss, datum.floor)", "as": "shown"},
        ],
        "layer": [
            {
                "params": [{"name": "cell", "select": {"type": "point", "fields": ["site", "bits"], "toggle": False}}],
                "mark": {"type": "rect", "cursor": "pointer"},
                "encoding": {"x": x, "y": y, "color": colour, "opacity": {"value": 1}, "tooltip": said},
            },
            {
                "transform": [{"filter": "datum.ringed == datum.bits"}],
                "mark": {"type": "point", "shape": "circle", "size": 55, "stroke": "white", "strokeWidth": 2},
                "encoding": {"x": x, "y": y, "opacity": {"value": 1}},
            },
            {
                "transform": [{"filter": "datum.picked"}],
                "mark": {"type": "rect", "filled": False, "stroke": VERMILLION, "strokeWidth": 2.5},
                "encoding": {"x": x, "y": y, "opacity": {"value": 1}},
            },
        ],
    }
