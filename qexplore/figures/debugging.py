"""Which sites do the harm: each quantized alone, all others real."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREY, VERMILLION
from qexplore.figures.words import listed, small

_NUMBERED = 6  # culprits that fit with their numbers


def culprits(sites: pd.DataFrame, guilty: Collection[str] = (), *, picked: str = "", height: int = 230) -> Live:
    """Bars of the divergence that each site causes alone; weights upwards, activations downwards, culprits marked.

    sites: site, index, kind, bits, divergence (mean KL to the FP32 softmax, nats), share (of the sum), sqnr_db.
    The selection "site" reports the site that is clicked.
    """
    bars = sites[["site", "index", "kind", "bits", "divergence", "share", "sqnr_db"]].copy()
    bars["signed"] = bars["divergence"].where(bars["kind"] == "weight", -bars["divergence"])
    bars["culprit"] = bars["site"].isin(list(guilty))
    bars["picked"] = bars["site"] == picked
    most = float(bars["divergence"].max()) or 1.0
    return Live(
        title="Bars of the harm that each site does alone, weights upwards and activations downwards.",
        name="culprits",
        alt=_finding(bars),
        look="One site quantized, all others real: how far the network's answers move from FP32 (mean KL divergence on "
        "calibration images, no labels). Weights upwards, activations downwards; click one. Culprits are orange: they "
        "have a fault that one change cures, or do a quarter of the harm and ten times the median of their kind.",
        data=bars.drop(columns=["signed", "picked"]).reset_index(drop=True),
        spec=_spec(height),
        tables={"bars": bars, "marks": _marks(bars, most)},
        picks="site",
    )


def _marks(bars: pd.DataFrame, most: float) -> pd.DataFrame:
    """Index numbers of the worst culprits, a little beyond their bars."""
    rows = bars[bars["culprit"]].nlargest(_NUMBERED, "divergence")
    beyond = rows["signed"] + 0.09 * most * (2.0 * (rows["kind"] == "weight") - 1.0)
    return pd.DataFrame({"index": rows["index"], "at": beyond, "text": rows["index"].astype(str)})


def _finding(bars: pd.DataFrame) -> str:
    worst = bars.sort_values("divergence", ascending=False)
    guilty = worst.loc[worst["culprit"], "site"].tolist()
    if guilty:
        share = 100 * float(worst.loc[worst["culprit"], "share"].sum())
        does = "does" if len(guilty) == 1 else "do"
        return f"Of {len(bars)} sites {listed(guilty)} {does} {share:.0f} % of the harm."
    first, by, share = (worst.iloc[0][name] for name in ("site", "divergence", "share"))
    most = f"{first} moves the answers most, by {small(float(by))} nats, {100 * float(share):.0f} % of the harm"
    return f"None of {len(bars)} sites is named as a culprit; {most}."


def _spec(height: int) -> dict[str, Any]:
    x = {
        "field": "index",
        "type": "ordinal",
        "title": "site index, in network order",
        "axis": {"labelOverlap": True, "labelAngle": 0, "ticks": False},
    }
    y = {
        "field": "signed",
        "type": "quantitative",
        "title": "divergence, nats",
        "axis": {"labelExpr": "format(abs(datum.value), '.2~g')", "tickCount": 5},
    }
    said: list[dict[str, Any]] = [{"field": f} for f in ("site", "index", "kind", "bits")]
    said += [
        {"field": "divergence", "title": "divergence, nats", "format": ".3g"},
        {"field": "share", "title": "share of all", "format": ".0%"},
        {"field": "sqnr_db", "title": "SQNR, dB", "format": ".1f"},
    ]
    colour = {"condition": {"test": "datum.culprit", "value": VERMILLION}, "value": BLUE}
    ring = {"condition": {"test": "datum.picked", "value": GREY}, "value": None}
    return {
        "height": height,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "bars"},
                "params": [{"name": "site", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
                "mark": {"type": "bar", "width": {"band": 0.9}, "cursor": "pointer"},
                "encoding": {
                    "x": x,
                    "y": y,
                    "color": colour,
                    "stroke": ring,
                    "strokeWidth": {"value": 2},
                    "opacity": {"value": 1},
                    "tooltip": said,
                },
            },
            {
                "data": {"name": "marks"},
                "mark": {"type": "text", "fontWeight": "bold", "fontSize": 12, "color": VERMILLION},
                "encoding": {"x": x, "y": {**y, "field": "at"}, "text": {"field": "text"}},
            },
            {"mark": {"type": "rule", "color": GREY}, "encoding": {"y": {"datum": 0}}},
        ],
    }
