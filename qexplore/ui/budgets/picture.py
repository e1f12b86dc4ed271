"""The frontier around an answer: what was measured near it, and where this budget would lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore import figures
from qexplore.runs import profiles
from qexplore.runs.profiles import Profile
from qexplore.ui.budgets.answers import Found

_CORNERS = 150  # of the path, more than a page has room for


def frontier_of(
    profile: Profile,
    found: Found,
    predicted: float,
    *,
    axis: str = "weight_bits",
    tried: pd.DataFrame | None = None,
    height: int = 275,
) -> figures.Live:
    """The figure; its dashed path is what is predicted when the budget of this axis alone moves."""
    moved = "activation_bits" if axis == "activation_bits" else "weight_bits"
    corners = found.answer.frontier
    path = corners[corners["limit"] == moved][[axis, "loss"]]
    path = path.iloc[:: max(2, len(path) // _CORNERS)]
    path = path.assign(accuracy=profiles.predict_accuracy(profile, path["loss"].to_numpy()))
    here: dict[str, Any] = {axis: found.answer.cost[axis], "predicted": predicted}
    if found.measured is not None:
        m = found.measured
        here |= {"accuracy": m.value, "low": m.low, "high": m.high, "images": m.images}
    near = beside(profile.points, found.answer.cost, axis)
    fp32 = float(profile.fp32["value"])
    return figures.frontier(near, path, here, fp32=fp32, axis=axis, tried=tried, height=height)


def beside(measured: pd.DataFrame, cost: Mapping[str, float], axis: str) -> pd.DataFrame:
    """Measured points to compare with: uniform ones, and mixed ones whose other side has about the same bits."""
    if axis == "gbops":
        return measured
    other = "weight_bits" if axis == "activation_bits" else "activation_bits"
    mixed = measured[~measured["label"].str.startswith("uniform")]
    away = (mixed[other] - cost[other]).abs()
    same = mixed[away <= away.min() + 0.01] if len(mixed) else mixed
    rows: pd.DataFrame = pd.concat([measured[measured["label"].str.startswith("uniform")], same])
    return rows
