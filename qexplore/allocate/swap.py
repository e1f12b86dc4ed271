"""Exchanges: one group pays for the bits of another, as long as that saves loss within the cap."""

from __future__ import annotations

import numpy as np

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.side import Side

MOST_SWAPS = 30


def swap(side: Side, chosen: Ints, cap: int) -> Ints:
    """Improves an allocation [G] of one side: each time the best move up, alone or paid for by one move down."""
    chosen = chosen.copy()
    for _ in range(MOST_SWAPS):
        move = _best_move(side, chosen, cap - int(side.cost_of(chosen)))
        if move is None:
            break
        for group, level in move:
            chosen[group] = level
    return chosen


def _best_move(side: Side, chosen: Ints, left: int) -> list[tuple[int, int]] | None:
    here = np.arange(side.size), chosen
    saved = side.loss[here][:, None] - side.loss
    dearer = side.costs - side.costs[here][:, None]
    up = np.nonzero((saved > 0) & side.allowed)
    down = np.nonzero((dearer < 0) & side.allowed)
    if not len(up[0]):
        return None
    freed, lost = -dearer[down], -saved[down]
    order = np.argsort(freed, kind="stable")
    need = dearer[up] - left
    at = np.searchsorted(freed[order], np.maximum(need, 0), side="left")
    payer = np.append(order[_cheapest_from(lost[order])], -1)[at]  # -1: nobody can pay
    net = saved[up] - np.where(need > 0, np.append(lost, np.inf)[payer], 0.0)
    net = np.where((need > 0) & (np.append(down[0], -1)[payer] == up[0]), -np.inf, net)
    best = int(np.argmax(net))
    if net[best] <= 1e-12 * saved[up][best]:
        return None
    move = [(int(up[0][best]), int(up[1][best]))]
    if need[best] > 0:
        move.append((int(down[0][payer[best]]), int(down[1][payer[best]])))
    return move


def _cheapest_from(lost: Floats) -> Ints:
    """For each position, where the least of the values from there to the end stands."""
    least = np.minimum.accumulate(lost[::-1])
    fresh = np.where(lost[::-1] == least, np.arange(len(lost)), 0)
    return np.asarray(len(lost) - 1 - np.maximum.accumulate(fresh)[::-1])
