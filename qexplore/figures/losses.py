"""What one site loses at each bit width."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.metrics import Scale, scale_of
from qexplore.figures.palette import BLUE, GREY, VERMILLION
from qexplore.figures.words import POWERS, small


def losses(table: pd.DataFrame, site: str, bits: int | None = None, *, metric: str) -> Live:
    """What `site` loses by a metric over bits, logarithmic; a ring marks `bits`.

    table: sensitivity of `metric`. Losses at or below zero have no place on the axis and are left out of the drawing.
    """
    rows = table.loc[table["site"] == site, ["bits", "loss"]].sort_values("bits", ignore_index=True)
    scale = scale_of(metric)
    shown = rows[rows["loss"] > 0].assign(now=lambda t: t["bits"] == bits)
    return Live(
        title=f"Line over the bits of one site: {scale.title}.",
        name=f"loss-{site}",
        alt=_finding(rows, site, bits, scale.unit),
        look="The ring is the present width. The steeper the line there, the more the next bit buys.",
        data=rows,
        spec=_spec(scale),
        tables={"rows": shown},
    )


def _finding(rows: pd.DataFrame, site: str, bits: int | None, unit: str) -> str:
    if rows.empty:
        return f"{site} has no stored sensitivity."
    first, last = rows.iloc[0], rows.iloc[-1]
    text = f"{site}: from {small(first['loss'])}{unit} at {int(first['bits'])} bits to {small(last['loss'])}"
    text += f" at {int(last['bits'])} bits"
    at = rows.loc[rows["bits"] == bits, "loss"]
    return f"{text}; now {bits} bits, {small(float(at.iloc[0]))}{unit}." if len(at) else f"{text}."


_X: dict[str, Any] = {"field": "bits", "type": "ordinal", "title": "bits", "axis": {"labelAngle": 0}}


def _spec(scale: Scale) -> dict[str, Any]:
    y = {
        "field": "loss",
        "type": "quantitative",
        "title": scale.unit.strip() or scale.name,  # short, as the figure is low
        "scale": {"type": "log"},
        "axis": {"labelExpr": POWERS, "tickCount": 4},
    }
    return {
        "height": 130,
        "width": "container",
        "padding": PADDING,
        "data": {"name": "rows"},
        "encoding": {"x": _X, "y": y},
        "layer": [
            {"mark": {"type": "line", "color": GREY}},
            {
                "mark": {"type": "point", "filled": True, "size": 45, "color": BLUE, "opacity": 1},
                "encoding": {"tooltip": [{"field": "bits"}, {"field": "loss", "title": scale.title, "format": ".3g"}]},
            },
            {
                "transform": [{"filter": "datum.now"}],
                "mark": {"type": "point", "size": 170, "strokeWidth": 2.5, "color": VERMILLION, "opacity": 1},
            },
        ],
    }
