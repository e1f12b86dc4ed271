"""Bits of each site: weights upwards, activations downwards, in network order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BITS, GREY
from qexplore.figures.words import listed

_MOST_NUMBERS = 70  # bars that leave room for a number each
_DIGIT = 7  # pixels that a number needs beside another
_LEGEND = 62  # pixels
_SIDES = (("datum.signed > 0", -7), ("datum.signed < 0", 9))  # which bars, and pixels beyond their ends
_PADLOCK = "M-0.55,-0.05 h1.1 v0.85 h-1.1 z M-0.35,-0.05 v-0.35 a0.35,0.35 0 0 1 0.7,0 v0.35"


def allocation(
    sites: pd.DataFrame,
    bits: Mapping[str, int],
    *,
    locked: Collection[str] = (),
    picked: str = "",
    height: int = 215,
) -> Live:
    """Bars of an allocation.

    sites: table of sites (site, index, kind, layer, numel). bits: site → bits. locked, picked: names of sites.
    The selection "bar" reports the name of the site that is clicked.
    """
    rows = sites.loc[sites["site"].isin(list(bits)), ["site", "index", "kind", "layer", "numel"]].copy()
    rows["bits"] = rows["site"].map(dict(bits)).astype(int)
    rows["signed"] = rows["bits"].where(rows["kind"] == "weight", -rows["bits"])
    rows["locked"] = rows["site"].isin(list(locked))
    rows["picked"] = rows["site"] == picked
    most = max(8, int(rows["bits"].max())) if len(rows) else 8
    return Live(
        title="Bars with the bits of each site, weights upwards and activations downwards.",
        name="allocation",
        alt=_finding(rows),
        look="Weights upwards, activations downwards. Click a bar to ask why and to lock it; padlocks stay.",
        data=rows.drop(columns=["signed", "picked"]).reset_index(drop=True),
        spec=_spec(most, height, numbers=len(rows) <= _MOST_NUMBERS),
        tables={"bars": rows},
        picks="bar",
    )


def _finding(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No site has bits."
    parts = []
    for kind, group in rows.groupby("kind", sort=False):
        low, high = int(group["bits"].min()), int(group["bits"].max())
        top = group.loc[group["bits"] == high, "site"].tolist()
        spread = f"all {high} bits" if low == high else f"{low} to {high} bits, most for {listed(top)}"
        parts.append(f"{len(group)} {kind} sites: {spread}")
    locked = int(rows["locked"].sum())
    return "; ".join(parts) + (f"; {locked} locked." if locked else ".")


def _spec(most: int, height: int, *, numbers: bool) -> dict[str, Any]:
    x = {
        "field": "index",
        "type": "ordinal",
        "title": "site index, in network order",
        "axis": {"labelOverlap": True, "labelAngle": 0, "ticks": False},
        "scale": {"paddingInner": 0.0, "paddingOuter": 0.2},
    }
    y = {
        "field": "signed",
        "type": "quantitative",
        "title": "bits: ← activations · weights →",
        "scale": {"domain": [-most - 1.6, most + 1.6], "nice": False},
        "axis": {"labelExpr": "abs(datum.value)", "values": [-8, -4, 0, 4, 8]},
    }
    colour = {
        "field": "bits",
        "type": "nominal",
        "legend": None if numbers else {"title": "bits", "orient": "top", "offset": 2, "symbolOpacity": 1},
        "scale": {"domain": list(BITS), "range": list(BITS.values())},
    }
    said = [{"field": f} for f in ("site", "index", "kind", "bits", "numel", "locked")]
    number = {"type": "text", "fontSize": 11, "fontWeight": "bold"}
    return {
        "height": height if numbers else height + _LEGEND,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "bars"},
                "params": [{"name": "bar", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
                "mark": {"type": "bar", "width": {"band": 0.96}, "cursor": "pointer", "cornerRadiusEnd": 2},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour,
                    "stroke": {"condition": {"test": "datum.picked", "value": GREY}, "value": None},
                    "strokeWidth": {"condition": {"test": "datum.picked", "value": 3}, "value": 0},
                    "opacity": {"value": 1},
                    "tooltip": said,
                },
            },
            *([_numbers(x, y, number, *side) for side in _SIDES] if numbers else []),
            {
                "data": {"name": "bars"},
                "transform": [{"filter": "datum.locked"}, {"calculate": "datum.signed / 2", "as": "middle"}],
                "mark": {"type": "point", "shape": _PADLOCK, "size": 90, "stroke": "white", "opacity": 1},
                "encoding": {"x": x, "y": {**y, "field": "middle"}},
            },
            {"mark": {"type": "rule", "color": GREY}, "encoding": {"y": {"datum": 0}}},
        ],
    }


def _numbers(x: dict[str, Any], y: dict[str, Any], mark: dict[str, Any], test: str, shift: int) -> dict[str, Any]:
    """Numbers at the ends of the bars, where these are wide enough on this screen."""
    colour = {"field": "bits", "type": "nominal", "legend": None}
    text = {"condition": {"test": f"bandwidth('x') >= {_DIGIT}", "field": "bits"}, "value": ""}
    return {
        "data": {"name": "bars"},
        "transform": [{"filter": test}],
        "mark": {**mark, "dy": shift},
        "encoding": {"x": x, "y": y, "text": text, "color": colour},
    }
