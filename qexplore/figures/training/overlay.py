"""Curves of several trainings over each other, told apart by letter, dash and colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import SERIES
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed
from qexplore.figures.training.thin import thin
from qexplore.figures.words import percent, small

LETTERS = "ABCD"
_DASHES = ([1, 0], [6, 3], [2, 2], [9, 3, 2, 3])
_AXES = {
    "accuracy": ("accuracy, held out", ".3~%", "linear"),
    "held_out_loss": ("loss in nats, held out", ".2~g", "log"),
}


def overlay(curves: Sequence[tuple[str, pd.DataFrame]], y: str = "accuracy") -> Live:
    """curves: name and table (epoch, accuracy or held_out_loss, stage) of at most four trainings, in the order of their
    letters. y: which of both is drawn.
    """
    tables = [
        table[["epoch", y, "stage"]].dropna().astype(float).assign(run=f"{letter} {name}", letter=letter)
        for letter, (name, table) in zip(LETTERS, curves, strict=False)
    ]
    names = [f"{letter} {name}" for letter, (name, _) in zip(LETTERS, curves, strict=False)]
    drawn = pd.concat([thin(table, y, 200) for table in tables], ignore_index=True)
    last = pd.concat([table.tail(1) for table in tables], ignore_index=True)
    return Live(
        title=f"Curves of the {_AXES[y][0]} of several trainings over the epochs.",
        name=f"trainings-{y}",
        alt=_finding(last, y),
        look=f"Each letter stands at the end of its curve; what it stands for is told below. {ZOOMS}",
        data=pd.concat(tables, ignore_index=True).drop(columns="letter"),
        spec=_spec(y, names),
        zooms=ZOOM["name"],
        tables={
            "curves": drawn,
            "ends": last,
            "frame": frame(max((float(table["epoch"].max()) for table in tables if len(table)), default=1.0)),
            "stages": pd.DataFrame({"epoch": pd.Series(dtype=float), "step": ""}),
        },
    )


def _finding(last: pd.DataFrame, y: str) -> str:
    if last.empty:
        return "None of these trainings has finished an epoch yet."
    best = last.sort_values(y, ascending=y != "accuracy", ignore_index=True)
    told = percent if y == "accuracy" else small
    said = ", ".join(f"{row['run']} {told(row[y])} after epoch {row['epoch']:g}" for _, row in best.iterrows())
    return f"Held-out images, best first: {said}."


def _spec(y: str, names: list[str]) -> dict[str, Any]:
    title, form, kind = _AXES[y]
    axis = {
        "field": y,
        "type": "quantitative",
        "title": title,
        "scale": {"type": kind, "nice": False, "padding": 10, **({"zero": False} if kind == "linear" else {})},
        "axis": {"format": form, "tickCount": 5},
    }
    legend = {
        "title": None,
        "orient": "bottom",
        "columns": {"expr": "width > 480 ? 2 : 1"},
        "labelLimit": 320,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 400,
    }
    series = {"field": "run", "type": "nominal"}
    colour = {**series, "scale": {"domain": names, "range": list(SERIES[: len(names)])}, "legend": legend}
    dash = {**series, "scale": {"domain": names, "range": list(_DASHES[: len(names)])}, "legend": legend}
    return framed(
        axis,
        [
            {
                "data": {"name": "curves"},
                "mark": {"type": "line", "strokeWidth": 2.2, "clip": True},
                "encoding": {"x": EPOCH, "y": axis, "color": colour, "strokeDash": dash, "detail": {"field": "stage"}},
            },
            *[
                {
                    "data": {"name": "ends"},
                    "transform": [{"filter": f"datum.letter === '{letter}'"}],
                    "mark": {"type": "text", "dx": -6 - 16 * place, "dy": -10, "fontWeight": "bold", "fontSize": 13},
                    "encoding": {"x": EPOCH, "y": axis, "text": {"field": "letter"}, "color": {"value": SERIES[place]}},
                }
                for place, letter in enumerate(LETTERS)  # beside each other where the curves end in one place
            ],
        ],
        340,
    )
