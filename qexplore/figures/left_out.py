"""What the complete recipe loses, or gains, when one of its steps is left out."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.ladder import ROW, column
from qexplore.figures.palette import GREEN, GREY, VERMILLION
from qexplore.figures.words import metric_of, points, probability
from qexplore.metric import MIOU, named, paired_test

SIGNIFICANT = 0.05


def left_out(table: pd.DataFrame) -> Live:
    """Bars of the change of accuracy against the complete recipe, in points.

    table: an ablation of one recipe (group, step, accuracy, change, gained, lost, p, images, seconds, of masks
    metric; fractions).
    """
    rows, metric = table[table["group"] == "without"], metric_of(table)
    bars = pd.DataFrame(
        {
            "row": rows["step"],
            "kind": [_kind(c, p) for c, p in zip(rows["change"], rows["p"])],
            "change": 100 * rows["change"],
            "accuracy": rows["accuracy"],
            "gained": rows["gained"],
            "lost": rows["lost"],
            "p": rows["p"],
            "seconds": rows["seconds"],
            "text": [f"{points(c)}\n{chance(p)}" for c, p in zip(rows["change"], rows["p"])],
        }
    ).reset_index(drop=True)
    images = int(table["images"].iloc[0])
    ends = min([-1.0, *bars["change"]]), max([0.0, *bars["change"]])
    return Live(
        title="Bars: what the complete recipe loses when one of its steps is left out.",
        name="left-out",
        alt=_finding(rows),
        look=f"Every other step stays. Grey: not distinguishable from 0 on {images:,} images ({paired_test(metric)} on "
        "pairs).",
        data=rows.drop(columns=["recipe"], errors="ignore").reset_index(drop=True),
        spec=_spec(*ends, metric),
        tables={"bars": bars},
    )


def _kind(change: float, p: float) -> str:
    if p > SIGNIFICANT:
        return "same"
    return "loss" if change < 0 else "gain"


def chance(p: float) -> str:
    """What the p of a paired test says, in words."""
    return "within chance" if p > SIGNIFICANT else probability(p)


def judgement(change: float, p: float, images: int) -> str:
    """A paired difference in one clause: its size, and whether these images can tell it from none."""
    if p > SIGNIFICANT:
        return f"{points(change)}, not distinguishable from 0 on {images:,} images (p = {p:.2f})"
    return f"{points(change)} ({chance(p)}, {images:,} images)"


def pairs(gained: int, lost: int, p: float, metric: object = None) -> str:
    """How many images two networks differ on, and whether that could be chance; of masks (metric "miou") how many have
    more pixels right, or fewer.
    """
    masks = metric == MIOU
    if gained + lost == 0:
        return "every image has as many pixels right" if masks else "every image is answered alike"
    counts = f"{gained} {'image' if gained == 1 else 'images'} {'better' if masks else 'gained'}, "
    counts += f"{lost} {'worse' if masks else 'lost'}"
    return f"{counts}: may be chance ({probability(p)})" if p > SIGNIFICANT else f"{counts}, {probability(p)}"


def _finding(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "The recipe has no step that could be left out."
    each = [
        f"without {row['step']} {judgement(row['change'], row['p'], int(row['images']))}"
        for row in rows.to_dict("records")
    ]
    return f"Against the complete recipe: {'; '.join(each)}."


def _spec(least: float, most: float, metric: str) -> dict[str, Any]:
    x = {
        "field": "change",
        "type": "quantitative",
        "title": f"change of {named(metric)}, points",
        "scale": {"domain": [least, most], "range": [4, {"expr": "width - 100"}], "nice": False},
        "axis": {"tickCount": 4},
    }
    colour = {
        "field": "kind",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": ["gain", "loss", "same"], "range": [GREEN, VERMILLION, GREY]},
    }
    said = [{"field": f} for f in ("row", "gained", "lost")]
    said.append({"field": "accuracy", "title": named(metric), "format": ".1%"})
    said.append({"field": "p", "title": f"p of {paired_test(metric)}", "format": ".2g"})
    said.append({"field": "seconds", "format": ".2f"})
    bar = {"x": x, "x2": {"datum": 0}, "y": ROW, "color": colour, "opacity": {"value": 1}, "tooltip": said}
    return {
        "height": {"step": 37},
        "width": "container",
        "padding": PADDING,
        "data": {"name": "bars"},
        "layer": [
            {"mark": {"type": "bar", "height": 15}, "encoding": bar},
            {
                "mark": {"type": "tick", "height": 16, "thickness": 3, "opacity": 1},
                "encoding": {"x": x, "y": ROW, "color": colour},
            },
            column(),
        ],
    }
