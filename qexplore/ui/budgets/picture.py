"""The frontier around an answer: what was measured near it, and where this budget would lead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from qexplore import figures
from qexplore.runs import profiles
from qexplore.runs.profiles import Profile
from qexplore.ui.budgets.answers import Found

# Bits that a uniform allocation may cost more and be compared still: a search seldom spends its whole budget, and its
# answer would else be held against uniform bits far below it.
SLACK = 0.05
_NEAR = 0.01  # bits that are none
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
    fp32, images = float(profile.fp32_here["value"]), profile.images
    metric = profile.metric
    return figures.frontier(
        near, path, here, fp32=fp32, images=images, axis=axis, tried=tried, height=height, metric=metric
    )


def beside(measured: pd.DataFrame, cost: Mapping[str, float], axis: str) -> pd.DataFrame:
    """Measured points to compare with, whose bits on the side that the axis does not show are about those of `cost`:
    of uniform ones the most that cost no more there, or SLACK more, of mixed ones the nearest. Over GBOPs, on which
    both sides have a say, uniform ones with as many bits on both, and all mixed ones.
    """
    uniform = measured["label"].str.startswith("uniform")
    same, mixed = measured[uniform], measured[~uniform]
    if axis == "gbops":
        kept = (same["weight_bits"] - same["activation_bits"]).abs() <= SLACK
        return pd.concat([same[kept], mixed])
    other = "weight_bits" if axis == "activation_bits" else "activation_bits"
    room = cost.get(other, 8.0) + SLACK
    within = same[other].where(same[other] <= room, -same[other])  # where all cost more, the least
    away = (mixed[other] - cost.get(other, 8.0)).abs()
    rows: pd.DataFrame = pd.concat([same[within >= within.max() - _NEAR], mixed[away <= away.min() + _NEAR]])
    return rows
