"""Spends left-over budget, and gives back what is over budget, one group at a time."""

from __future__ import annotations

import numpy as np

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.bitops import BitOps, require_bitops
from qexplore.allocate.caps import Caps
from qexplore.allocate.problem import Choice, Problem
from qexplore.allocate.side import Side


def fill(problem: Problem, choice: Choice, caps: Caps, *, by_gain: bool = False) -> Choice:
    """Raises bits while that saves loss and keeps all caps.

    The next move is the one that saves most for its largest share of a left-over budget, or, `by_gain`, the one that
    saves most.
    """
    chosen = (choice[0].copy(), choice[1].copy())
    while True:
        best: tuple[float, int, int, int] | None = None
        for side in (0, 1):
            saved, need = _moves(problem, chosen, caps, side)
            score = np.where(need <= 1.0, saved, 0.0)
            if not by_gain:
                score = score / np.maximum(need, 1e-30)
            if score.size and (top := int(score.argmax())) >= 0 and (value := float(score.flat[top])) > 0:
                group, level = divmod(top, score.shape[1])
                if best is None or value > best[0]:
                    best = (value, side, group, level)
        if best is None:
            return chosen
        chosen[best[1]][best[2]] = best[3]


def give_back(problem: Problem, choice: Choice, caps: Caps) -> Choice:
    """Lowers bits until all caps hold, each time the group that gives most back for its loss.

    The fewest bits of all groups meet the caps, so that this ends.
    """
    chosen = (choice[0].copy(), choice[1].copy())
    while True:
        over = excess(problem, chosen, caps)
        if not any(over.values()):
            return chosen
        best: tuple[float, int, int, int] | None = None
        for side in (0, 1):
            lost, back = _returns(problem, chosen, over, side)
            if back.size and back.max() > 0:
                with np.errstate(divide="ignore", invalid="ignore"):
                    score = np.where(back > 0, lost / back, np.inf)
                group, level = divmod(int(score.argmin()), score.shape[1])
                if best is None or score[group, level] < best[0]:
                    best = (float(score[group, level]), side, group, level)
        assert best is not None, "the fewest bits meet the caps"
        chosen[best[1]][best[2]] = best[3]


def _side(problem: Problem, side: int) -> Side:
    return problem.activations if side else problem.weights


def _rates(problem: Problem, chosen: Choice, side: int) -> Ints:
    """Bit operations that one more bit costs each group of a side."""
    return require_bitops(problem.bitops).rates(problem.weights, problem.activations, chosen, side)


def excess(problem: Problem, chosen: Choice, caps: Caps) -> dict[str, int]:
    """By how much each cap is exceeded, 0 where it holds; only caps that are set."""
    return {name: max(0, -left) for name, left in left_over(problem, chosen, caps).items()}


def left_over(problem: Problem, chosen: Choice, caps: Caps) -> dict[str, int]:
    left: dict[str, int] = {}
    if caps.weights is not None:
        left["weights"] = caps.weights - int(problem.weights.cost_of(chosen[0]))
    if caps.activations is not None:
        left["activations"] = caps.activations - int(problem.activations.cost_of(chosen[1]))
    if caps.bitops is not None and isinstance(problem.bitops, BitOps):
        left["bitops"] = caps.bitops - int(problem.bitops.count(problem.weights, problem.activations, chosen))
    return left


def changes_of(problem: Problem, chosen: Choice, names: dict[str, int], side: int) -> dict[str, Ints]:
    """What each move [G, B] of a side adds to each resource that it touches."""
    part = _side(problem, side)
    bits = part.menu[None, :] - part.menu[chosen[side]][:, None]
    own = "activations" if side else "weights"
    changes = {own: bits * part.elements[:, None]} if own in names else {}
    if "bitops" in names:
        changes["bitops"] = bits * _rates(problem, chosen, side)[:, None]
    return changes


def _savings(side: Side, chosen: Ints) -> Floats:
    return side.loss[np.arange(side.size), chosen][:, None] - side.loss


def _moves(problem: Problem, chosen: Choice, caps: Caps, side: int) -> tuple[Floats, Floats]:
    """Loss saved [G, B] by each move up, and the largest share of a left-over budget that it needs (inf: too much)."""
    part = _side(problem, side)
    left = left_over(problem, chosen, caps)
    saved = np.where(part.allowed, _savings(part, chosen[side]), 0.0)
    need = np.zeros(saved.shape)
    for name, change in changes_of(problem, chosen, left, side).items():
        fits = change <= left[name]
        share = np.where(fits, np.minimum(change / max(left[name], 1), 1.0), np.inf)
        np.maximum(need, share, out=need)
    return saved, need


def _returns(problem: Problem, chosen: Choice, over: dict[str, int], side: int) -> tuple[Floats, Floats]:
    """Loss added [G, B] by each move down, and the shares of the excesses that it takes away."""
    part = _side(problem, side)
    lost = -_savings(part, chosen[side])
    back = np.zeros(lost.shape)
    for name, change in changes_of(problem, chosen, over, side).items():
        if over[name]:
            back += np.clip(-change, 0, over[name]) / over[name]
    return lost, np.where(part.allowed, back, 0.0)
