"""Do metrics order the sites as the answers really move?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from qexplore.figures.figure import PADDING, Live
from qexplore.figures.palette import BLUE, VERMILLION


def correlations(table: pd.DataFrame, *, against: str = "divergence") -> pd.DataFrame:
    """Spearman's rank correlation of each metric with `against`, per bit width over sites.

    table: sensitivities with column metric. Returns metric, bits, correlation, sites; NaN where ranks do not vary.
    """
    wide = table.pivot_table(index=["site", "bits"], columns="metric", values="loss").reset_index()
    rows = []
    for metric in (m for m in table["metric"].unique() if m != against):
        for bits, group in wide.groupby("bits"):
            both = group[[metric, against]].dropna()
            varies = len(both) > 2 and all(both[c].nunique() > 1 for c in both)
            value = float(spearmanr(both[metric], both[against]).statistic) if varies else float("nan")
            rows.append((metric, int(str(bits)), value, len(both)))
    return pd.DataFrame(rows, columns=["metric", "bits", "correlation", "sites"])


def agreement(table: pd.DataFrame, metric: str, bits: int, *, against: str = "divergence", picked: str = "") -> Live:
    """Rank of each site by `metric` over its rank by `against` at one bit width."""
    at = table[table["bits"] == bits]
    wide = at.pivot_table(index=["site", "index", "kind"], columns="metric", values="loss").reset_index().dropna()
    wide["by metric"] = wide[metric].rank(ascending=False).astype(int)
    wide["by measurement"] = wide[against].rank(ascending=False).astype(int)
    wide["picked"] = wide["site"] == picked
    value = _spearman(wide, metric, against)
    return Live(
        title="Rank of each site by a metric over its rank by the measured divergence.",
        name=f"agreement-{metric}",
        alt=f"At {bits} bits the ranks of {metric} and of the measured {against} correlate by {value:.2f} (Spearman).",
        look="On the diagonal both agree. A site far below it hurts more than the metric believes.",
        data=wide.drop(columns="picked"),
        spec=_spec(metric, len(wide)),
        tables={"ranks": wide},
        picks="dot",
    )


def _spearman(wide: pd.DataFrame, metric: str, against: str) -> float:
    if len(wide) < 3:
        return float("nan")
    return float(np.corrcoef(wide[metric].rank(), wide[against].rank())[0, 1])


def _spec(metric: str, sites: int) -> dict[str, Any]:
    def axis(field: str, title: str) -> dict[str, Any]:
        scale = {"domain": [0, sites + 1], "nice": False}
        return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"tickMinStep": 1}}

    x = axis("by metric", f"rank by {metric}, 1 costs most")
    y = axis("by measurement", "rank by divergence, measured")
    said = [{"field": f} for f in ("site", "index", "kind", "by metric", "by measurement")]
    return {
        "height": 300,
        "width": "container",
        "padding": PADDING,
        "layer": [
            {
                "data": {"values": [{"a": 0}, {"a": sites + 1}]},
                "mark": {"type": "line", "color": "#808080", "strokeDash": [4, 4]},
                "encoding": {"x": {**x, "field": "a"}, "y": {**y, "field": "a"}},
            },
            {
                "data": {"name": "ranks"},
                "params": [{"name": "dot", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
                "mark": {"type": "point", "filled": True, "size": 60, "cursor": "pointer"},
                "encoding": {
                    "x": x,
                    "y": y,
                    "opacity": {"value": 1},
                    "shape": {"field": "kind", "legend": {"title": None, "orient": "bottom"}},
                    "color": {"condition": {"test": "datum.picked", "value": VERMILLION}, "value": BLUE},
                    "tooltip": said,
                },
            },
        ],
    }
