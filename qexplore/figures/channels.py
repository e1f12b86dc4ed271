"""Ranges of the output channels of one weight tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREY
from qexplore.figures.words import small

_MOST_BOXES = 128
_MOST_NAMED = 40  # channels whose numbers find room below the axis
_MOST_DRAWN = 512  # places along the axis that a band needs
_ENDS = ["lo", "q25", "q50", "q75", "hi"]


def channels(table: pd.DataFrame, site: str) -> Live:
    """Boxes from stored quantiles, widest channel first; beyond 128 channels a band through some hundred of them.

    table: site, channel, lo, q25, q50, q75, hi in the unit of the weights.
    """
    rows = table[table["site"] == site].copy()
    rows["width"] = rows["hi"] - rows["lo"]
    rows = rows.sort_values("width", ascending=False, ignore_index=True)
    boxes = len(rows) <= _MOST_BOXES
    return Live(
        title="Ranges and quartiles of the output channels of one weight.",
        name=f"channels-{site}",
        alt=_finding(rows, site),
        look="One grid for the whole tensor must span the widest box; narrow boxes then fall between few grid points. "
        "Per-channel grids or equalization cure that.",
        data=rows,
        spec=_boxes(len(rows)) if boxes else _band(),
        tables={"channels": rows[["channel", *_ENDS]] if boxes else _thinned(rows)},
    )


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Some hundred of the channels with their place in the order of widths, the first and the last among them."""
    kept = np.unique(np.linspace(0, len(rows) - 1, _MOST_DRAWN).astype(int))
    return rows.iloc[kept][["channel", "lo", "q25", "q75", "hi"]].assign(place=kept)


def _boxes(count: int) -> dict[str, Any]:
    """A box from quartile to quartile with the median, on a line from the least value to the greatest."""
    x = {
        "field": "channel",
        "type": "ordinal",
        "sort": None,
        "title": _X,
        "axis": {"labels": count <= _MOST_NAMED, "labelAngle": 0, "labelOverlap": True, "ticks": False},
    }
    said = [{"field": "channel"}, *({"field": end, "format": ".3g"} for end in _ENDS)]
    box = {"type": "bar", "color": BLUE, "fillOpacity": 0.5, "stroke": BLUE, "width": {"band": _THICK}}
    halves = (("q25", "q50"), ("q50", "q75"))  # their common edge is the median
    return {
        **_FRAME,
        "encoding": {"x": x, "tooltip": said},
        "layer": [
            {"mark": {"type": "rule", "color": BLUE}, "encoding": {"y": _y("lo"), "y2": {"field": "hi"}}},
            *({"mark": box, "encoding": {"y": _y(low), "y2": {"field": high}}} for low, high in halves),
        ],
    }


def _band() -> dict[str, Any]:
    """From the least value to the greatest, and from quartile to quartile, over the channels in their order."""
    x = {"field": "place", "type": "quantitative", "title": _X, "scale": {"nice": False}}
    said = [{"field": "channel"}, *({"field": end, "format": ".3g"} for end in _ENDS if end != "q50")]
    return {
        **_FRAME,
        "encoding": {"x": x, "tooltip": said},
        "layer": [
            {
                "mark": {"type": "area", "color": colour, "fillOpacity": 0.45, "line": {"color": colour}},
                "encoding": {"y": _y(low), "y2": {"field": high}},
            }
            for low, high, colour in (("lo", "hi", GREY), ("q25", "q75", BLUE))
        ],
    }


def _y(field: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": "weight"}


_X, _THICK = "output channels, widest range first", 0.6  # share of its place that a box takes
_FRAME = {"height": 280, "width": "container", "padding": PADDING, "data": {"name": "channels"}}


def _finding(rows: pd.DataFrame, site: str) -> str:
    if rows.empty:
        return f"{site} has no stored channels."
    widest, narrowest = float(rows["width"].max()), float(rows["width"].min())
    ratio = f"{widest / narrowest:,.0f} times" if narrowest > 0 else "infinitely"
    return f"{site}: {len(rows)} channels; the widest range, {small(widest)}, is {ratio} as wide as the narrowest."
