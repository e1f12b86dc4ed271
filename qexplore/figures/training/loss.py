"""Loss over the epochs: training images, smoothed, and held-out images."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.palette import BLUE, VERMILLION
from qexplore.figures.training.axes import EPOCH, ZOOM, ZOOMS, frame, framed, stages_of, words
from qexplore.figures.training.thin import smooth, thin
from qexplore.figures.words import small

_LEAST = 1e-6  # nats; what is smaller has no place on a logarithmic axis
_WIDTH = 0.22  # of the axis, what the name of a line takes
_DISTILLED = (
    "This training is distilled: the line is the distance to FP32's outputs, the dashed curve the cross-entropy, so "
    "compare their courses and not their heights. "
)
_TRAINING, _HELD_OUT = "training images", "held-out images"


def loss(
    losses: pd.DataFrame,
    marks: pd.DataFrame,
    epochs: float,
    parts: pd.DataFrame | None = None,
    *,
    distilled: bool = False,
) -> Live:
    """Curves of the loss in nats.

    losses: epoch, loss of training images, stage. marks: epoch, held_out_loss, stage. epochs: of the whole training.
    parts: where its stages begin (epoch, step). distilled: whether the loss of training images is, in whole or in part,
    the distance to FP32's outputs; that of held-out images is the cross-entropy all the same.
    """
    rows = losses[["epoch", "loss", "stage"]].dropna().reset_index(drop=True)
    rows["smoothed"] = rows.groupby("stage")["loss"].transform(smooth)
    held = marks[["epoch", "held_out_loss", "stage"]].dropna().reset_index(drop=True)
    drawn = _visible(thin(rows, "loss"))
    below = _visible(held)
    return Live(
        title="Curves of the loss over the epochs, for training images and held-out images.",
        name="training-loss",
        alt=_finding(rows, held),
        look="Line: training images, smoothed, the raw values behind it. Dashed with points: calibration images, which "
        f"are held out; where they turn up, the network overfits. {_DISTILLED if distilled else ''}{ZOOMS}",
        data=rows.merge(held, on=["epoch", "stage"], how="outer").sort_values("epoch", ignore_index=True),
        spec=_SPEC,
        zooms=ZOOM["name"],
        tables={
            "raw": drawn,
            "held": below,
            "ends": _ends(drawn, below, epochs),
            "frame": frame(epochs),
            "stages": stages_of(parts),
        },
    )


def _visible(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{str(name): rows[name].clip(lower=_LEAST) for name in rows if name not in ("epoch", "stage")})


def _ends(drawn: pd.DataFrame, held: pd.DataFrame, epochs: float) -> pd.DataFrame:
    """Where the names of the lines stand: clear of all that lies above or below them."""
    lines = [
        (drawn["epoch"], drawn["loss"], drawn["smoothed"], _TRAINING),
        (held["epoch"], held["held_out_loss"], held["held_out_loss"], _HELD_OUT),
    ]
    lines = [line for line in lines if len(line[0])]
    highest = max(lines, key=lambda line: float(line[2].iloc[-1]), default=None)
    rows = []
    for line in lines:
        at, values, smoothed, label = line
        end, up = float(at.iloc[-1]), line is highest
        late = end > 0.6 * epochs
        over = values[at >= end - _WIDTH * epochs] if late else smoothed.iloc[-1:]
        rows.append((end, float(over.max() if up else over.min()), label, up, late))
    return pd.DataFrame(rows, columns=["epoch", "loss", "label", "up", "late"])


def _finding(rows: pd.DataFrame, held: pd.DataFrame) -> str:
    if rows.empty:
        return "No loss has been told yet."
    said = f"The training loss went from {small(rows['loss'].iloc[0])} to {small(rows['smoothed'].iloc[-1])} nats"
    if held.empty:
        return f"{said}."
    best = held.nsmallest(1, "held_out_loss").iloc[0]
    last = held["held_out_loss"].iloc[-1]
    said += f"; on held-out images it is {small(last)}"
    if last <= best["held_out_loss"]:
        return f"{said}, the least so far."
    return f"{said}, least {small(best['held_out_loss'])} after epoch {best['epoch']:g}."


_Y: dict[str, Any] = {
    "field": "loss",
    "type": "quantitative",
    "title": "loss, nats",
    "scale": {"type": "log", "nice": False, "padding": 26},
    "axis": {"format": ".2~g", "tickCount": 4, "gridOpacity": 0.5},
}
_STAGE = {"field": "stage", "type": "nominal"}
_SAID = [{"field": "epoch", "format": ".2f"}]
_COLOUR = {"field": "label", "scale": {"domain": [_TRAINING, _HELD_OUT], "range": [BLUE, VERMILLION]}, "legend": None}
_SPEC: dict[str, Any] = framed(
    _Y,
    [
        {
            "data": {"name": "raw"},
            "mark": {"type": "line", "color": BLUE, "opacity": 0.28, "strokeWidth": 1, "clip": True},
            "encoding": {"x": EPOCH, "y": _Y, "detail": _STAGE},
        },
        {
            "data": {"name": "raw"},
            "mark": {"type": "line", "color": BLUE, "strokeWidth": 2.2, "clip": True},
            "encoding": {"x": EPOCH, "y": {**_Y, "field": "smoothed"}, "detail": _STAGE},
        },
        {
            "data": {"name": "held"},
            "mark": {
                "type": "line",
                "color": VERMILLION,
                "strokeDash": [5, 3],
                "strokeWidth": 2,
                "clip": True,
                "point": {"size": 32, "filled": True, "color": VERMILLION},
            },
            "encoding": {
                "x": EPOCH,
                "y": {**_Y, "field": "held_out_loss"},
                "detail": _STAGE,
                "tooltip": [*_SAID, {"field": "held_out_loss", "title": "loss, held-out images", "format": ".3g"}],
            },
        },
        *words("ends", _Y, _COLOUR),
    ],
)
