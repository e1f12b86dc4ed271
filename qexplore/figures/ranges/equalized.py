"""Ranges of channels before and after equalization: of one weight, and their spread in all of them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import GREY, VERMILLION
from qexplore.figures.words import small

WHEN = ("before", "after equalization")
_FAR = 20  # times that a usual channel must be narrower than the widest for a logarithmic axis
_MOST = 300  # lines side by side that a page can tell apart
_SAME = 1e-6  # a relative change below which a range is what it was


def equalized(table: pd.DataFrame, site: str) -> Live:
    """Two lines a channel of one weight, from its least to its greatest value: before and after.

    Beyond some hundred channels a line stands for neighbours, and spans all of theirs.

    table: channels (site, channel, lo, hi, equalized_lo, equalized_hi, unit of the weights).
    """
    rows = table[table["site"] == site].reset_index(drop=True)
    together = max(-(-len(rows) // _MOST), 1)
    drawn = rows if together == 1 else _joined(rows, together)
    ends = {"before": ("lo", "hi", -0.18), "after equalization": ("equalized_lo", "equalized_hi", 0.18)}
    long = pd.concat(
        [
            pd.DataFrame(
                {
                    "channel": drawn["channel"],
                    "at": drawn["channel"] + shift * together,
                    "lo": drawn[lo],
                    "hi": drawn[hi],
                }
            ).assign(when=when)
            for when, (lo, hi, shift) in ends.items()
        ],
        ignore_index=True,
    )
    return Live(
        title="Ranges of the channels of one weight, before and after equalization.",
        name=f"equalized-{site}",
        alt=_finding(rows, site),
        look="One grid for the whole tensor spans the widest channel. Equalization moves width from wide channels to "
        "the next layer, so that the lines become alike."
        + (f" A line is {together} neighbouring channels." if together > 1 else ""),
        data=rows[["channel", "lo", "hi", "equalized_lo", "equalized_hi"]],
        spec=_spec(len(drawn), _bend(rows)),
        tables={"channels": long},
    )


def _joined(rows: pd.DataFrame, together: int) -> pd.DataFrame:
    """A row for `together` neighbouring channels: the first one's number and the ends of all."""
    ends = {"channel": "first", "lo": "min", "hi": "max", "equalized_lo": "min", "equalized_hi": "max"}
    joined: pd.DataFrame = rows.groupby(rows.index // together).agg(ends)
    return joined


def touched(table: pd.DataFrame, site: str) -> bool:
    """Whether equalization changes the range of any channel of a weight."""
    rows = table[table["site"] == site]
    moved = (rows[["equalized_lo", "equalized_hi"]].to_numpy() - rows[["lo", "hi"]].to_numpy()).__abs__()
    return bool((moved > _SAME * rows[["lo", "hi"]].abs().to_numpy().max(initial=0.0)).any())


def imbalance(table: pd.DataFrame, sites: pd.DataFrame, *, picked: str = "") -> Live:
    """How many times as wide the widest channel of each weight is as its narrowest, before and after.

    table: channels of all weights; sites: site, index. Channels without width are left out. The selection "weight"
    reports the site that is clicked.
    """
    index = dict(zip(sites["site"], sites["index"].astype(int), strict=True))
    rows = pd.concat([_ratios(table, lo, hi).assign(when=when) for when, lo, hi in _PAIRS], ignore_index=True)
    rows = rows.assign(index=rows["site"].map(index), picked=rows["site"] == picked)
    wide = rows.pivot_table(index=["site", "index"], columns="when", values="ratio").reset_index()
    return Live(
        title="Widest over narrowest channel of each weight, before and after equalization.",
        name="imbalance",
        alt=_worst(wide),
        look="1 is perfect balance; at 100 the narrowest channel uses a hundredth of the grid. Click a mark to pick "
        "its weight.",
        data=wide,
        spec=_SPREAD,
        tables={"rows": rows},
        picks="weight",
    )


_PAIRS = ((WHEN[0], "lo", "hi"), (WHEN[1], "equalized_lo", "equalized_hi"))


def _ratios(table: pd.DataFrame, lo: str, hi: str) -> pd.DataFrame:
    widths = table.assign(width=table[[lo, hi]].abs().max(axis=1))
    ends = widths[widths["width"] > 0].groupby("site", sort=False)["width"].agg(["min", "max"])
    return (ends["max"] / ends["min"]).rename("ratio").reset_index()


def _finding(rows: pd.DataFrame, site: str) -> str:
    before, after = (float(_ratios(rows, lo, hi)["ratio"].max()) for _, lo, hi in _PAIRS)
    if not touched(rows, site):
        return f"{site}: equalization does not touch its {len(rows)} channels, {small(before)} times apart."
    return (
        f"{site}: {len(rows)} channels; the widest is {small(before)} times as wide as the narrowest before "
        f"equalization, {small(after)} times after it."
    )


def _worst(wide: pd.DataFrame) -> str:
    worst = wide.nlargest(1, WHEN[0]).iloc[0]
    return (
        f"Most unbalanced is {worst['site']}: its widest channel is {small(worst[WHEN[0]])} times as wide as its "
        f"narrowest, {small(worst[WHEN[1]])} times after equalization."
    )


_LOOK = {
    "color": {
        "field": "when",
        "scale": {"domain": list(WHEN), "range": [GREY, VERMILLION]},
        "legend": {"title": None, "orient": "bottom"},
    }
}


def _bend(rows: pd.DataFrame) -> float | None:
    """Where the axis turns from linear to logarithmic: at the narrowest channel, where the widest would hide it."""
    ends = rows[["lo", "hi", "equalized_lo", "equalized_hi"]].abs()
    widest, narrow = float(ends.to_numpy().max(initial=0.0)), float(ends.max(axis=1).median())
    return narrow / 2 if 0 < narrow < widest / _FAR else None


def _spec(channels: int, bend: float | None) -> dict[str, Any]:
    y: dict[str, Any] = {"field": "lo", "type": "quantitative", "title": "weight"}
    if bend is not None:
        ticks = [sign * 10.0**power for power in range(math.ceil(math.log10(bend)), 7) for sign in (-1, 1)]
        y |= {"title": "weight, log", "scale": {"type": "symlog", "constant": bend}}
        y["axis"] = {"values": [0.0, *ticks], "format": "~g"}
    width = max(1.0, min(5.0, 150 / max(channels, 1)))
    return {
        "height": 270,
        "width": "container",
        "padding": PADDING,
        "data": {"name": "channels"},
        "mark": {"type": "rule", "strokeWidth": width},
        "encoding": {
            "x": {
                "field": "at",
                "type": "quantitative",
                "title": "output channel",
                "scale": {"nice": False, "padding": 6},
                "axis": {"tickMinStep": 1, "grid": False, "format": "d"},
            },
            "y": y,
            "y2": {"field": "hi"},
            "strokeDash": {"field": "when", "scale": {"domain": list(WHEN), "range": [[1, 0], [1, 0]]}, "legend": None},
            "tooltip": [
                {"field": "channel"},
                {"field": "when"},
                *({"field": f, "format": ".3g"} for f in ("lo", "hi")),
            ],
            **_LOOK,
        },
    }


_SPREAD: dict[str, Any] = {
    "height": 270,
    "width": "container",
    "padding": PADDING,
    "data": {"name": "rows"},
    "params": [{"name": "weight", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
    "mark": {"type": "point", "filled": True, "cursor": "pointer"},
    "encoding": {
        "x": {
            "field": "index",
            "type": "quantitative",
            "title": "site index, in network order",
            "scale": {"nice": False, "padding": 8},
            "axis": {"tickMinStep": 1, "grid": False},
        },
        "y": {
            "field": "ratio",
            "type": "quantitative",
            "title": "widest ÷ narrowest",
            "scale": {"type": "log"},
            "axis": {"tickCount": 4, "format": "~s"},
        },
        "opacity": {"value": 1},
        "size": {"condition": {"test": "datum.picked", "value": 170}, "value": 55},
        "shape": {"field": "when", "scale": {"domain": list(WHEN), "range": ["circle", "square"]}, "legend": None},
        "tooltip": [{"field": "site"}, {"field": "index"}, {"field": "when"}, {"field": "ratio", "format": ".3g"}],
        **_LOOK,
    },
}
