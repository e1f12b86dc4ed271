"""What the curves over epochs share: the axis, zooming, where stages begin, words beside lines."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING
from qexplore.figures.palette import GREY

HEIGHT = 230
ZOOM: dict[str, Any] = {
    "name": "zoom",
    "select": {"type": "interval", "encodings": ["x"], "zoom": "wheel![event.shiftKey]"},
    "bind": "scales",
}
ZOOMS = "Drag to move, shift and wheel to zoom, double click to see all."
EPOCH: dict[str, Any] = {
    "field": "epoch",
    "type": "quantitative",
    "title": "epoch",
    "scale": {"nice": False, "zero": False, "padding": 7},
    "axis": {"grid": False, "tickMinStep": 1, "format": "~g"},
}


def frame(epochs: float) -> pd.DataFrame:
    """Both ends of the axis, so that it shows from the start how far the training will go."""
    return pd.DataFrame({"epoch": [0.0, max(float(epochs), 1.0)]})


def stages_of(parts: pd.DataFrame | None) -> pd.DataFrame:
    """Where stages begin, their names only where there are several: epoch, step."""
    several = parts is not None and len(parts) > 1
    return parts if parts is not None and several else pd.DataFrame({"epoch": pd.Series(dtype=float), "step": ""})


def framed(y: dict[str, Any], layers: list[dict[str, Any]], height: int = HEIGHT) -> dict[str, Any]:
    """The spec of a curve: its layers over the frame and the rules where stages begin (tables "frame", "stages")."""
    at = {"data": {"name": "stages"}, "encoding": {"x": EPOCH}}
    return {
        "height": height,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"name": "frame"},
                "params": [ZOOM],
                "mark": {"type": "rule", "opacity": 0},
                "encoding": {"x": EPOCH},
            },
            {**at, "mark": {"type": "rule", "color": GREY, "strokeDash": [1, 3]}},
            {
                **at,
                "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 4, "color": GREY, "fontSize": 11},
                "encoding": {"x": EPOCH, "y": {"value": {"expr": "height - 3"}}, "text": {"field": "step"}},
            },
            *layers,
        ],
    }


def words(table: str, y: dict[str, Any], colour: Any) -> list[dict[str, Any]]:
    """Words beside the ends of lines: rows of `table` (epoch, the field of `y`, label, up: above the line or below,
    late: so far on the axis that the words stand before the end of the line).
    """
    return [
        {
            "data": {"name": table},
            "transform": [{"filter": f"{'' if up else '!'}datum.up && {'' if late else '!'}datum.late"}],
            "mark": {
                "type": "text",
                "align": "right" if late else "left",
                "dx": -2 if late else 8,
                "dy": (-15 if up else 17) if late else (-6 if up else 6),
                "fontWeight": "bold",
                "fontSize": 11,
            },
            "encoding": {"x": EPOCH, "y": y, "text": {"field": "label"}, "color": colour},
        }
        for up in (True, False)
        for late in (True, False)
    ]
