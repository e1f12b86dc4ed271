"""Sensitivity of every site at every bit width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import VERMILLION
from qexplore.figures.words import listed, small

ORDERS = {"network": "network order", "loss": "worst first"}
_SMALLEST = 1e-12


def heatmap(
    table: pd.DataFrame, *, picked: str = "", bits: Mapping[str, int] | None = None, order: str = "network"
) -> Live:
    """Site × bits, coloured by the logarithm of the expected rise of the loss.

    table: sensitivity of one metric (site, index, kind, bits, loss in nats). Losses at or below zero are drawn as the
    smallest positive one. bits: an allocation whose cells are ringed. order: "network" or "loss".
    The selection "cell" reports site and bits.
    """
    rows = table[["site", "index", "kind", "bits", "loss"]].copy()
    positive = rows.loc[rows["loss"] > _SMALLEST, "loss"]
    floor = float(positive.min()) if len(positive) else _SMALLEST
    rows["shown"] = rows["loss"].clip(lower=floor)
    rows["rank"] = _rank(rows, order)
    rows["picked"] = rows["site"] == picked
    chosen = dict(bits or {})
    rows["ringed"] = [chosen.get(site) == b for site, b in zip(rows["site"], rows["bits"])]
    return Live(
        title="Heat map of the expected rise of the loss, sites by bits.",
        name="sensitivity",
        alt=_finding(rows),
        look="Dark cells hurt: bright columns may shrink first. Colour is logarithmic, one step is a factor, not a "
        "difference. Click a cell to pick its site on all pages.",
        data=rows[["site", "index", "kind", "bits", "loss"]].reset_index(drop=True),
        spec=_spec(ORDERS[order], int(rows["bits"].nunique())),
        tables={"cells": rows},
        picks="cell",
    )


def _rank(rows: pd.DataFrame, order: str) -> pd.Series[Any]:
    if order == "network":
        return rows["index"]
    worst = rows.groupby("site")["shown"].sum().rank(ascending=False, method="first").astype(int)
    return rows["site"].map(worst) - 1


def _finding(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No sensitivities."
    fewest = int(rows["bits"].min())
    at = rows[rows["bits"] == fewest].sort_values("loss", ascending=False)
    worst, most = listed(at["site"].tolist()[:3]), small(float(at["loss"].iloc[0]))
    return f"At {fewest} bits {worst} raise the loss most, by up to {most} nats."


def _spec(order: str, heights: int) -> dict[str, Any]:
    x = {
        "field": "rank",
        "type": "ordinal",
        "title": "site index" if order == "network order" else "sites, worst first",
        "axis": {"labelOverlap": True, "labelAngle": 0, "ticks": False, "domain": False},
    }
    y = {"field": "bits", "type": "ordinal", "title": "bits", "axis": {"ticks": False, "domain": False}}
    colour = {
        "field": "shown",
        "type": "quantitative",
        "scale": {"type": "log", "scheme": "cividis", "reverse": True},
        "legend": {"title": "loss, nats", "orient": "bottom", "gradientLength": 220, "format": ".0e", "tickCount": 4},
    }
    said = [{"field": f} for f in ("site", "index", "kind", "bits")]
    said.append({"field": "loss", "title": "rise of the loss", "format": ".3g"})
    return {
        "height": 34 * heights + 60,
        "width": "container",
        "padding": PADDING,
        "data": {"name": "cells"},
        "layer": [
            {
                "params": [{"name": "cell", "select": {"type": "point", "fields": ["site", "bits"], "toggle": False}}],
                "mark": {"type": "rect", "cursor": "pointer"},
                "encoding": {"x": x, "y": y, "color": colour, "opacity": {"value": 1}, "tooltip": said},
            },
            {
                "transform": [{"filter": "datum.ringed"}],
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
