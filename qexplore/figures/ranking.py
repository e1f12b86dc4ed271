"""Which sites hurt most at one bit width."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.metrics import scale_of
from qexplore.figures.palette import BLUE, VERMILLION
from qexplore.figures.words import listed, shorten


def ranking(table: pd.DataFrame, bits: int, *, metric: str, most: int = 12, picked: str = "") -> Live:
    """Bars of the `most` largest losses at `bits`; table: sensitivity by `metric`."""
    rows = table.loc[table["bits"] == bits, ["site", "index", "kind", "loss"]]
    rows = rows.sort_values("loss", ascending=False, ignore_index=True)
    share = float(rows["loss"].head(3).sum() / rows["loss"].sum()) if rows["loss"].sum() > 0 else 0.0
    top = rows.head(most).assign(name=lambda t: [f"{i} {shorten(s, 26)}" for i, s in zip(t["index"], t["site"])])
    top["picked"] = top["site"] == picked
    worst = top["site"].tolist()[:3]
    alt = (
        f"At {bits} bits three sites, {listed(worst)}, carry {100 * share:.0f} % of the summed loss."
        if worst
        else "None."
    )
    return Live(
        title="Bars of the sites that lose most at one bit width.",
        name="ranking",
        alt=alt,
        look="A short head and a long tail: the few sites on top decide what a budget costs.",
        data=rows,
        spec=_spec(scale_of(metric).title),
        tables={"rows": top},
        picks="rank",
    )


_NAME = {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 220, "ticks": False}}


def _spec(title: str) -> dict[str, Any]:
    loss = {"field": "loss", "type": "quantitative", "title": title}
    return {
        "height": {"step": 22},
        "width": "container",
        "padding": PADDING,
        "data": {"name": "rows"},
        "params": [{"name": "rank", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
        "mark": {"type": "bar", "cursor": "pointer", "cornerRadiusEnd": 2},
        "encoding": {
            "y": _NAME,
            "x": {**loss, "axis": {"format": "~g", "tickCount": 4}},
            "opacity": {"value": 1},
            "color": {"condition": {"test": "datum.picked", "value": VERMILLION}, "value": BLUE},
            "tooltip": [*({"field": f} for f in ("site", "index", "kind")), {**loss, "format": ".3g"}],
        },
    }
