"""What the allocations cost over the epochs, each limit of the budget on one scale."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import BLUE, GREEN, GREY, OCHRE, VERMILLION
from qexplore.figures.training.axes import EPOCH, ZOOM, frame, framed
from qexplore.figures.training.thin import every
from qexplore.figures.words import percent

NAMES = {
    "weight_bits": "weight bits",
    "activation_bits": "activation bits",
    "kb": "KB",
    "gbops": "GBOPs",
}
_COLOURS = {"weight bits": BLUE, "activation bits": OCHRE, "KB": GREEN, "GBOPs": VERMILLION}
_DASHES = {"weight bits": [1, 0], "activation bits": [6, 3], "KB": [2, 2], "GBOPs": [8, 2, 2, 2]}
_MOST = 200  # allocations that are drawn
_HEIGHT, _ROW = 190, 15  # pixels: of the lines with their axes, and of a label, which has a row of its own below


def limits(rows: pd.DataFrame, epochs: float, *, at: float | None = None) -> Live:
    """Lines of the cost as a share of the limit.

    rows: epoch, limit, cost, most (what the limit allows), a row an allocation and limit. at: epoch of the allocation
    that is looked at.
    """
    rows = rows.assign(share=rows["cost"] / rows["most"], name=[NAMES.get(limit, limit) for limit in rows["limit"]])
    drawn = pd.concat([group.iloc[every(len(group), _MOST)] for _, group in rows.groupby("limit")] or [rows])
    ends = drawn.groupby("limit", sort=False).tail(1)
    ends = ends.assign(label=[_label(row) for row in ends.to_dict("records")])
    return Live(
        title="Lines of the cost of each allocation beside its limit.",
        name="training-limits",
        alt=finding(rows),
        look="Each line is the cost of the bits at that moment, 100 % is the limit: none may lie above, and what lies "
        "below is left unspent.",
        data=rows[["epoch", "limit", "cost", "most"]].reset_index(drop=True),
        spec=_spec(len(ends)),
        zooms=ZOOM["name"],
        tables={
            "costs": drawn[["epoch", "name", "cost", "most", "share"]],
            "ends": _apart(ends[["epoch", "name", "share", "label"]]),
            "top": pd.DataFrame({"share": [1.0]}),
            "now": pd.DataFrame({"epoch": [] if at is None else [at]}),
            "frame": frame(epochs),
            "stages": pd.DataFrame({"epoch": pd.Series(dtype=float), "step": ""}),
        },
    )


def finding(rows: pd.DataFrame) -> str:
    """'Budget met at 14 of 14 re-allocations; at the last 2.98 of 3 weight bits.' The first allocation of each limit is
    that which training begins with.
    """
    if rows.empty:
        return "No allocation has been told yet."
    kept = (rows["cost"] <= rows["most"] * (1 + 1e-9)).groupby(rows["epoch"], sort=True).all()
    again = kept.iloc[1:]
    last = rows[rows["epoch"] == rows["epoch"].max()]
    costs = ", ".join(_spent(row) for row in last.to_dict("records"))
    start = "kept from the start" if kept.iloc[0] else "exceeded at the start"
    if again.empty:
        return f"Budget {start}: {costs}."
    return f"Budget met at {int(again.sum()):,} of {len(again):,} re-allocations and {start}; at the last {costs}."


def _spent(row: dict[Any, Any]) -> str:
    return f"{row['cost']:.4g} of {row['most']:g} {NAMES.get(row['limit'], row['limit'])}"


def _label(row: dict[Any, Any]) -> str:
    return f"{row['name']} {row['cost']:.4g} of {row['most']:g} ({percent(row['share'])})"


def _apart(ends: pd.DataFrame) -> pd.DataFrame:
    """Labels of lines that end close together stand in rows of their own."""
    return ends.assign(row=range(len(ends)))


_COLOUR: dict[str, Any] = {
    "field": "name",
    "type": "nominal",
    "scale": {"domain": list(_COLOURS), "range": list(_COLOURS.values())},
    "legend": None,
}
_DASH: dict[str, Any] = {
    "field": "name",
    "type": "nominal",
    "scale": {"domain": list(_DASHES), "range": list(_DASHES.values())},
    "legend": None,
}


def _spec(rows: int) -> dict[str, Any]:
    """The lines, and below them a row for each of so many labels."""
    lowest = {"expr": f"height - {_ROW * rows + 4}"}  # where the lines end; the page says how high the whole is
    y = {
        "field": "share",
        "type": "quantitative",
        "title": "cost, share of the limit",
        "scale": {"zero": False, "nice": False, "padding": 14, "range": [lowest, 0]},
        "axis": {"format": ".4~%", "tickCount": 4},
    }
    return framed(y, [*_limit(y), *_costs(y), _now(lowest), *_labels(rows)], _HEIGHT + _ROW * rows)


def _limit(y: dict[str, Any]) -> list[dict[str, Any]]:
    """The line that none may cross."""
    return [
        {"data": {"name": "top"}, "mark": {"type": "rule", "color": GREY, "strokeWidth": 1.5}, "encoding": {"y": y}},
        {
            "data": {"name": "top"},
            "transform": [{"calculate": "'limit'", "as": "label"}],
            "mark": {"type": "text", "align": "left", "dx": 4, "dy": -6, "color": GREY, "fontSize": 11},
            "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "label"}},
        },
    ]


def _costs(y: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each limit, with a point at each allocation."""
    return [
        {
            "data": {"name": "costs"},
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "clip": True},
            "encoding": {"x": EPOCH, "y": y, "color": _COLOUR, "strokeDash": _DASH},
        },
        {
            "data": {"name": "costs"},
            "mark": {"type": "point", "filled": True, "size": 26, "opacity": 1, "clip": True},
            "encoding": {
                "x": EPOCH,
                "y": y,
                "color": _COLOUR,
                "tooltip": [
                    {"field": "epoch", "format": ".2~f"},
                    {"field": "name", "title": "limit on"},
                    {"field": "cost", "format": ".4~g"},
                    {"field": "most", "title": "allowed", "format": ".4~g"},
                ],
            },
        },
    ]


def _now(lowest: dict[str, Any]) -> dict[str, Any]:
    """The moment that is looked at."""
    return {
        "data": {"name": "now"},
        "mark": {"type": "rule", "color": VERMILLION, "strokeWidth": 1.5},
        "encoding": {"x": EPOCH, "y": {"value": 0}, "y2": {"value": lowest}},
    }


def _labels(rows: int) -> list[dict[str, Any]]:
    return [
        {
            "data": {"name": "ends"},
            "transform": [{"filter": f"datum.row === {row}"}],
            "mark": {"type": "text", "align": "right", "baseline": "bottom", "fontSize": 11, "fontWeight": "bold"},
            "encoding": {
                "x": {"value": {"expr": "width - 6"}},
                "y": {"value": {"expr": f"height - {_ROW * (rows - 1 - row)}"}},
                "text": {"field": "label"},
                "color": _COLOUR,
            },
        }
        for row in range(rows)
    ]
