"""Whether a budget can be met at all: asked of the sites alone, before anything is known of their losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from qexplore.allocate.budget import Budget
from qexplore.allocate.caps import read_caps
from qexplore.allocate.problem import read_problem

MENU = (2, 8)  # bits from … to, among which an allocation chooses where nobody names others


def require_feasible(
    sites: pd.DataFrame, menu: Sequence[int], budget: Budget, *, locked: Mapping[str, int] | None = None
) -> None:
    """Raises what `allocate` would raise for a budget that no allocation meets: InfeasibleBudget with the least that is
    possible; QexploreError for a limit that these sites cannot count, or a lock that is not on the menu.

    sites: a row a site with site, kind, numel, and tied, input, macs, bitmap where known. menu: bits that any site may
    have. locked: {site: bits} to keep.
    """
    table = sites.drop(columns=["bits", "loss"], errors="ignore").merge(pd.DataFrame({"bits": list(menu)}), how="cross")
    read_caps(read_problem(table.assign(loss=0.0)).lock(locked), budget)
