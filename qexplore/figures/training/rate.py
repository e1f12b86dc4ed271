"""The learning rate over the epochs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import GREEN
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed, stages_of
from qexplore.figures.training.thin import thin
from qexplore.figures.words import small


def rate(losses: pd.DataFrame, epochs: float, parts: pd.DataFrame | None = None) -> Live:
    """Line of the learning rate. losses: epoch, rate."""
    rows = losses[["epoch", "rate"]].dropna().reset_index(drop=True)
    return Live(
        title="Line of the learning rate over the epochs.",
        name="training-rate",
        alt=_finding(rows),
        look=f"How large a step the optimizer takes. It ends small, so that the network settles on its grid. {ZOOMS}",
        data=rows,
        spec=_SPEC,
        zooms=ZOOM["name"],
        tables={"rows": thin(rows, "rate"), "frame": frame(epochs), "stages": stages_of(parts)},
    )


def _finding(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No learning rate has been told yet."
    return f"The learning rate is at most {small(rows['rate'].max())}, and {small(rows['rate'].iloc[-1])} last."


_Y: dict[str, Any] = {"field": "rate", "type": "quantitative", "title": "learning rate", "axis": {"format": ".2~g"}}
_SPEC: dict[str, Any] = framed(
    _Y,
    [
        {
            "data": {"name": "rows"},
            "mark": {"type": "line", "color": GREEN, "strokeWidth": 2, "clip": True},
            "encoding": {"x": EPOCH, "y": _Y},
        }
    ],
    150,
)
