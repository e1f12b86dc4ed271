"""The whole loss-against-cost frontier of one side: lower convex hulls of its groups, merged by slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.side import Side


@dataclass(frozen=True)
class Hull:
    """Steps down the frontier, steepest first; point k is the allocation after the first k steps.

    start [G]: menu positions of point 0; group [K], level [K]: what step k moves, and to where; slope [K]: loss saved
    for each unit of cost, non-increasing; cost [K+1] and loss [K+1] of the points. Every point is optimal at its cost.
    """

    start: Ints
    group: Ints
    level: Ints
    slope: Floats
    cost: Ints
    loss: Floats

    def point(self, cap: int) -> int:
        """The last point whose cost is within the cap."""
        return int(np.searchsorted(self.cost, cap, side="right")) - 1

    def at(self, point: int) -> Ints:
        """Allocation of a point, as menu positions [G]."""
        chosen = self.start.copy()
        np.maximum.at(chosen, self.group[:point], self.level[:point])
        return chosen

    def price(self, point: int) -> float:
        """Loss that one more unit of cost saves beyond a point."""
        return float(self.slope[point]) if point < len(self.slope) else 0.0

    def bound(self, cap: int) -> float:
        """No allocation within the cap has a lower loss: the line through the two points around it (LP relaxation)."""
        point = self.point(cap)
        slack = int(cap) - int(self.cost[point])
        return max(0.0, float(self.loss[point]) - self.price(point) * slack)


def build_hull(side: Side) -> Hull:
    """The hull of a side, all groups at once.

    From where each group stands, its next corner is the entry of the menu with the largest saving per bit; among equal
    ones the farthest. A group stops where more bits save nothing.
    """
    groups = np.arange(side.size)
    loss, menu = side.open_loss, side.menu.astype(np.float64)
    rise = menu[None, :] - menu[:, None]  # [from, to]
    ahead = np.where(rise > 0, rise, np.inf)
    with np.errstate(invalid="ignore"):
        saving = (loss[:, :, None] - loss[:, None, :]) / ahead  # [group, from, to], per bit
    saving = np.where((rise > 0) & side.allowed[:, None, :] & side.allowed[:, :, None], saving, 0.0)
    last = len(menu) - 1
    corner = last - np.argmax(saving[:, :, ::-1], axis=2)
    best = saving.max(axis=2)
    start = side.lowest()
    here, steepest = start, np.full(side.size, np.inf)
    found: list[tuple[Ints, Ints, Ints, Floats]] = []
    for _ in range(last):
        slope = np.minimum(best[groups, here] / side.elements, steepest)  # rounding must not undo the order of steps
        moving = slope > 0
        there = np.where(moving, corner[groups, here], here)
        found.append((groups[moving], here[moving], there[moving], slope[moving]))
        here, steepest = there, slope
    return _merge(side, start, found)


def _merge(side: Side, start: Ints, found: list[tuple[Ints, Ints, Ints, Floats]]) -> Hull:
    group, before, after, slope = (np.concatenate(parts) for parts in zip(*found, strict=True)) if found else _nothing()
    order = np.argsort(-slope, kind="stable")  # steps of one group were found in order, and stay in it
    group, before, after, slope = group[order], before[order], after[order], slope[order]
    cost = side.elements[group] * (side.menu[after] - side.menu[before])
    saved = side.loss[group, before] - side.loss[group, after]
    end = start.copy()
    np.maximum.at(end, group, after)
    left = np.concatenate([np.cumsum(saved[::-1])[::-1], [0.0]])  # summed from the end: small losses keep their digits
    costs = np.concatenate([[0], np.cumsum(cost)]) + side.cost_of(start)
    return Hull(start, group, after, slope, costs, left + side.loss_of(end))


def _nothing() -> tuple[Ints, Ints, Ints, Floats]:
    none = np.zeros(0, dtype=np.int64)
    return none, none, none, np.zeros(0)
