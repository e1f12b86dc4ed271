"""Down the hull as far as the cap allows, past the steps that no longer fit, and once more around each of those."""

from __future__ import annotations

import numpy as np

from qexplore.allocate.arrays import Ints
from qexplore.allocate.hull import Hull
from qexplore.allocate.side import Side

RETRIES = 8  # groups whose first refused step is tried by force; more bring little


def descend(side: Side, hull: Hull, cap: int) -> Ints:
    """The best allocation [G] of a few walks down the hull within a cap.

    A large group whose step just fails to fit costs the plain walk most: each of the first refused steps is therefore
    taken by force, with the budget of the others cut, and, in turn, its group is held at the fewest bits.
    """
    plain, refused = _walk(side, hull, cap, None)
    walks = [plain]
    for group, level in refused[:RETRIES]:
        for fixed in (level, int(hull.start[group])):
            extra = int(side.costs[group, fixed] - side.costs[group, hull.start[group]])
            if int(hull.cost[0]) + extra <= cap:
                walks.append(_walk(side, hull, cap - extra, (group, fixed))[0])
    return min(walks, key=lambda chosen: float(side.loss_of(chosen)))


def _walk(side: Side, hull: Hull, cap: int, fixed: tuple[int, int] | None) -> tuple[Ints, list[tuple[int, int]]]:
    """Takes every step that fits; the first step that does not ends its group. Also gives the steps refused.

    `fixed`: a group that takes no steps and ends at a level, which the caller has taken off the cap.
    """
    free = np.ones(len(hull.group), dtype=np.bool_) if fixed is None else hull.group != fixed[0]
    group, level, cost = hull.group[free], hull.level[free], np.diff(hull.cost)[free]
    left = cap - int(hull.cost[0])
    point = int(np.searchsorted(np.cumsum(cost), left, side="right"))
    chosen = hull.start.copy()
    np.maximum.at(chosen, group[:point], level[:point])
    left -= int(cost[:point].sum())
    refused: dict[int, int] = {}
    # A loop over the few hundred steps left in plain integers is faster here than one array operation per refusal.
    for g, to, need in zip(group[point:].tolist(), level[point:].tolist(), cost[point:].tolist(), strict=True):
        if g in refused:
            continue
        if need > left:
            refused[g] = to
        else:
            chosen[g] = to
            left -= need
    if fixed is not None:
        chosen[fixed[0]] = fixed[1]
    return chosen, list(refused.items())
