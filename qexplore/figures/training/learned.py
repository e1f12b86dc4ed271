"""The range that a site has learned: against its latent weights at one moment, and over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, GREY, OCHRE, VERMILLION
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed
from qexplore.figures.training.thin import every
from qexplore.figures.words import percent

_MOST = 200  # moments that are drawn
_WORD = 0.15  # of the figure's width: room for a word on a narrow screen


def latent(moments: Sequence[Mapping[str, Any]], number: int, site: str) -> Live:
    """Histogram of the latent weights of a site, the ends of its grid, and where these were at the start.

    moments: epoch, lo, hi (ends of the grid over all channels), from, to, counts, and, where it was told, outside
    (share of the weights beyond the grid of their own channel), in order. number: which of them.
    """
    now, start = moments[number], moments[0]
    bins = _bins(now)
    ends = pd.DataFrame(
        [(float(start[end]), "start") for end in ("lo", "hi")] + [(float(now[end]), "now") for end in ("lo", "hi")],
        columns=["x", "when"],
    )
    wide = [float(one[end]) for one in moments for end in ("lo", "hi", "from", "to")]
    tallest = max(max(one["counts"], default=0) / max(1, sum(one["counts"])) for one in moments)
    return Live(
        title="Histogram of the latent weights of one site with the ends of its grid, now and at the start.",
        name=f"training-weights-{site}",
        alt=_finding(now, start, bins, site),
        look="Bars: the weights before they are rounded; ochre ones lie outside the grids of all channels. Solid: the "
        "ends of the grid now, over all channels; dashed: where they were at the start.",
        data=bins,
        spec=_SPEC,
        tables={
            "bins": bins,
            "ends": ends,
            "words": _words(now, start, max(wide) - min(wide)),
            "space": pd.DataFrame({"x": [min(wide), max(wide)], "share": [0.0, 1.12 * tallest]}),
        },
    )


def _bins(one: Mapping[str, Any]) -> pd.DataFrame:
    counts, low, high = list(one["counts"]), float(one["from"]), float(one["to"])
    width = (high - low) / max(1, len(counts)) or 1e-12
    bins = pd.DataFrame({"from": [low + i * width for i in range(len(counts))], "count": counts})
    bins["to"] = bins["from"] + width
    bins["share"] = bins["count"] / max(1, sum(counts))
    middle = (bins["from"] + bins["to"]) / 2
    outside = (middle < float(one["lo"])) | (middle > float(one["hi"]))
    bins["where"] = outside.map({True: "outside", False: "inside"})
    return bins[["from", "to", "count", "share", "where"]]


def _words(now: Mapping[str, Any], start: Mapping[str, Any], width: float) -> pd.DataFrame:
    """'now' and 'start' stand left of the upper ends, clear of each other and of both lines. width: of all values."""
    here, there = float(now["hi"]), float(start["hi"])
    if abs(here - there) < _WORD * width:
        here = there = min(here, there)
    rows = [(here, "now", 0), (there, "start", 1)]
    return pd.DataFrame(rows, columns=["x", "when", "row"])


def _finding(now: Mapping[str, Any], start: Mapping[str, Any], bins: pd.DataFrame, site: str) -> str:
    grid = f"grid from {now['lo']:.3g} to {now['hi']:.3g}"
    was = f"{start['lo']:.3g} to {start['hi']:.3g} at the start"
    return f"{site} after epoch {now['epoch']:g}: {grid}, {was}; {_outside(now, bins)}."


def _outside(now: Mapping[str, Any], bins: pd.DataFrame) -> str:
    """The share of the weights that is clipped; where that was not told, as far as the bins know."""
    if now.get("outside") is not None:
        return f"{percent(now['outside'])} of the weights outside their own grid"
    share = bins.loc[bins["where"] == "outside", "share"].sum()
    return f"about {percent(share)} of the weights outside all channels' grids"


def ends(rows: pd.DataFrame, site: str, epochs: float, *, at: float | None = None) -> Live:
    """Both ends of the grid of a site over the epochs. rows: epoch, lo, hi. at: the epoch that is looked at."""
    rows = rows[["epoch", "lo", "hi"]].reset_index(drop=True)
    drawn = rows.iloc[every(len(rows), _MOST)]
    start = rows.iloc[0]
    return Live(
        title="Band between both ends of the grid of one site over the epochs.",
        name=f"training-range-{site}",
        alt=_moved(rows, site),
        look=f"The band is the range that can be represented; dashed: both ends at the start. {ZOOMS}",
        data=rows,
        spec=_BAND,
        zooms=ZOOM["name"],
        tables={
            "rows": drawn,
            "start": pd.DataFrame({"end": [float(start["lo"]), float(start["hi"])]}),
            "now": pd.DataFrame({"epoch": [] if at is None else [at]}),
            "frame": frame(epochs),
            "stages": pd.DataFrame({"epoch": pd.Series(dtype=float), "step": ""}),
        },
    )


def _moved(rows: pd.DataFrame, site: str) -> str:
    first, last = rows.iloc[0], rows.iloc[-1]
    was, now = float(first["hi"] - first["lo"]), float(last["hi"] - last["lo"])
    change = _wider(100 * (now / was - 1)) if was > 0 else f"{now:.3g} wide"
    return (
        f"The range of {site} went from {first['lo']:.3g} … {first['hi']:.3g} to {last['lo']:.3g} … {last['hi']:.3g} "
        f"by epoch {last['epoch']:g}: {change}."
    )


def _wider(percent: float) -> str:
    """6.2 → '6 % wider'; what rounds to nothing is 'as wide as at the start'."""
    if round(percent) == 0:
        return "as wide as at the start"
    return f"{abs(percent):.0f} % {'wider' if percent > 0 else 'narrower'}"


_X: dict[str, Any] = {
    "field": "x",
    "type": "quantitative",
    "title": "value",
    "scale": {"nice": False, "zero": False},
}
_SHARE: dict[str, Any] = {
    "field": "share",
    "type": "quantitative",
    "title": "share of weights",
    "axis": {"tickCount": 3, "format": ".0~%"},
    "scale": {"nice": False},
}
_WHEN: dict[str, Any] = {"condition": {"test": "datum.when === 'now'", "value": VERMILLION}, "value": GREY}
_SPEC: dict[str, Any] = {
    "height": 230,
    "width": "container",
    "padding": PADDING,
    "layer": [
        {
            "data": {"name": "space"},
            "mark": {"type": "point", "opacity": 0},
            "encoding": {"x": _X, "y": _SHARE},
        },
        {
            "data": {"name": "bins"},
            "mark": {"type": "bar", "binSpacing": 0},
            "encoding": {
                "x": {**_X, "field": "from", "bin": {"binned": True}},
                "x2": {"field": "to"},
                "y": _SHARE,
                "color": {"condition": {"test": "datum.where === 'outside'", "value": OCHRE}, "value": BLUE},
                "tooltip": [
                    {"field": "from", "format": ".3g"},
                    {"field": "to", "format": ".3g"},
                    {"field": "count"},
                    {"field": "where", "title": "of all grids"},
                ],
            },
        },
        {
            "data": {"name": "ends"},
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {
                "x": _X,
                "color": _WHEN,
                "strokeDash": {
                    "field": "when",
                    "scale": {"domain": ["now", "start"], "range": [[1, 0], [4, 3]]},
                    "legend": None,
                },
            },
        },
        {
            "data": {"name": "words"},
            "transform": [{"calculate": "10 + 14 * datum.row", "as": "pixel"}],
            "mark": {"type": "text", "align": "right", "dx": -4, "fontSize": 11, "fontWeight": "bold"},
            "encoding": {
                "x": _X,
                "y": {"field": "pixel", "type": "quantitative", "scale": None, "axis": None},
                "text": {"field": "when"},
                "color": _WHEN,
            },
        },
    ],
}
_END: dict[str, Any] = {
    "field": "lo",
    "type": "quantitative",
    "title": "value",
    "scale": {"zero": True, "nice": False, "padding": 8},
    "axis": {"tickCount": 4, "format": ".2~g"},
}
_SAID = [{"field": "epoch", "format": ".2~f"}, {"field": "lo", "format": ".4~g"}, {"field": "hi", "format": ".4~g"}]
_BAND: dict[str, Any] = framed(
    _END,
    [
        {
            "data": {"name": "rows"},
            "mark": {"type": "area", "color": BLUE, "opacity": 0.18, "clip": True},
            "encoding": {"x": EPOCH, "y": _END, "y2": {"field": "hi"}, "tooltip": _SAID},
        },
        *[
            {
                "data": {"name": "rows"},
                "mark": {
                    "type": "line",
                    "color": BLUE,
                    "strokeWidth": 2,
                    "clip": True,
                    "point": {"size": 22, "filled": True, "color": BLUE},
                },
                "encoding": {"x": EPOCH, "y": dict(_END, field=end), "tooltip": _SAID},
            }
            for end in ("lo", "hi")
        ],
        {
            "data": {"name": "start"},
            "mark": {"type": "rule", "color": GREY, "strokeDash": [4, 3]},
            "encoding": {"y": {**_END, "field": "end"}},
        },
        {
            "data": {"name": "now"},
            "mark": {"type": "rule", "color": VERMILLION, "strokeWidth": 1.5},
            "encoding": {"x": EPOCH},
        },
    ],
    230,
)
