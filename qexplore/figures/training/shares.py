"""A share of all weights over the epochs: those that oscillate, or those that are zero."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import OCHRE, PURPLE
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed, stages_of
from qexplore.figures.words import listed, percent

_WORDS = {
    "oscillation": (
        "oscillating weights",
        "Weights that jump to and fro between two grid points instead of settling, most at few bits. Where batch norms "
        "are kept, they disturb the statistics of these.",
        OCHRE,
    ),
    "sparsity": (
        "weights that are zero",
        "Pruning raises the share of zeros while the network trains, and what stays learns to do without the rest.",
        PURPLE,
    ),
}


def shares(name: str, rows: pd.DataFrame, epochs: float, parts: pd.DataFrame | None = None) -> Live:
    """Line of a share. name: "oscillation" or "sparsity". rows: epoch, share, and where known a column a site."""
    title, look, colour = _WORDS[name]
    rows = rows.dropna(subset=["share"]).reset_index(drop=True)
    return Live(
        title=f"Line of the share of {title} over the epochs.",
        name=f"training-{name}",
        alt=_finding(title, rows),
        look=f"{look} {ZOOMS}",
        data=rows,
        spec=_spec(title, colour),
        zooms=ZOOM["name"],
        tables={"rows": rows[["epoch", "share"]], "frame": frame(epochs), "stages": stages_of(parts)},
    )


def _finding(title: str, rows: pd.DataFrame) -> str:
    if rows.empty:
        return f"No share of {title} has been told yet."
    first, last = rows.iloc[0], rows.iloc[-1]
    said = f"{percent(last['share'], 2)} {title} after epoch {last['epoch']:g}, {percent(first['share'], 2)} at first"
    sites = last.drop(["at", "epoch", "share"], errors="ignore").dropna().astype(float).sort_values(ascending=False)
    worst = [f"{site} ({percent(share)})" for site, share in sites.head(3).items() if share > 0]
    return f"{said}; most in {listed(worst)}." if worst else f"{said}."


def _spec(title: str, colour: str) -> dict[str, Any]:
    y = {
        "field": "share",
        "type": "quantitative",
        "title": f"{title}",
        "axis": {"format": ".2~%", "tickCount": 4},
        "scale": {"zero": True, "nice": False, "padding": 7},
    }
    return framed(
        y,
        [
            {
                "data": {"name": "rows"},
                "mark": {
                    "type": "line",
                    "color": colour,
                    "strokeWidth": 2,
                    "clip": True,
                    "point": {"size": 34, "filled": True, "color": colour},
                },
                "encoding": {
                    "x": EPOCH,
                    "y": y,
                    "tooltip": [{"field": "epoch", "format": ".2~f"}, {"field": "share", "format": ".3%"}],
                },
            }
        ],
        190,
    )
