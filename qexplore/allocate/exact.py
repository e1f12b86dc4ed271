"""The exact optimum of one side as an integer programme: one binary for each group and entry of the menu.

Each solve starts from a known answer and a known bound. A candidate whose reduced cost exceeds their difference is in
no better answer and is left out, which leaves few: that, and the scaled objective, keep HiGHS quick and accurate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qexplore.allocate.arrays import Ints
from qexplore.allocate.hull import Hull
from qexplore.allocate.milp import Effort, Outcome, Program, minimise
from qexplore.allocate.side import Side

PROVEN = 1e-9  # an answer this close to its bound, relative to its loss, is the optimum


@dataclass(frozen=True)
class Improved:
    """What the programme found: menu positions [G] (None: nothing), and a bound that holds for every allocation."""

    chosen: Ints | None
    bound: float
    tolerance: float


def solve_side(side: Side, hull: Hull, cap: int, known: float, effort: Effort) -> Improved:
    """Best allocation of one side within a cap; `known` is the loss of an answer that is at hand."""
    bound = hull.bound(cap)
    gap = known - bound
    if gap <= PROVEN * known:
        return Improved(None, bound, gap)
    price = hull.price(hull.point(cap))
    value = side.open_loss + price * side.costs
    excess = value - value.min(axis=1, keepdims=True)
    group, level = np.nonzero(excess <= gap * (1 + 1e-9))
    base = hull.at(hull.point(cap))
    offset = float(side.loss_of(base))
    objective = side.loss[group, level] - side.loss[group, base[group]]
    least = np.full(side.size, np.iinfo(np.int64).max)
    cost = side.costs[group, level]
    np.minimum.at(least, group, cost)
    columns = np.arange(len(group))
    program = Program(
        objective,
        rows=[(group, columns, np.ones(len(group)), np.ones(side.size))],
        limits=[(cost - least[group], cap - int(least.sum()))],
    )
    found = minimise(program, gap=gap, effort=effort)
    return Improved(_decode(found, group, level, side.size), max(bound, found.bound + offset), found.tolerance)


def _decode(found: Outcome, group: Ints, level: Ints, size: int) -> Ints | None:
    if found.x is None:
        return None
    picked = found.x > 0
    chosen = np.full(size, -1, dtype=np.int64)
    chosen[group[picked]] = level[picked]
    return chosen if picked.sum() == size and (chosen >= 0).all() else None
