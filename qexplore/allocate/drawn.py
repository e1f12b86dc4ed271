"""Bits drawn at random within a budget: the baseline that every sensitivity has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from qexplore.allocate.budget import Budget
from qexplore.allocate.caps import Caps, meets, read_caps
from qexplore.allocate.fill import changes_of, left_over
from qexplore.allocate.problem import Choice, Problem, read_problem

Move = tuple[int, int, int]  # side, group, and one menu entry up or down


def drawn(
    table: pd.DataFrame, budget: Budget, *, seed: int = 0, locked: Mapping[str, int] | None = None
) -> dict[str, int]:
    """{site: bits} in network order, drawn at random, which meet the budget and leave no room for one more bit.

    Every group starts at a random entry of the menu. While a limit is broken, one of the moves down an entry that give
    something of it back is drawn; then, one of the moves up that still fit, until none does: all in whole numbers
    (project's own choice). The same seed draws the same bits; losses are not looked at. A side without a limit has
    its most bits, as it has in `allocate`. locked: {site: bits} to keep. Raises InfeasibleBudget with the least that is
    possible.
    """
    problem = read_problem(table.assign(loss=0.0)).lock(locked)
    caps = read_caps(problem, budget)
    rng = np.random.default_rng(seed)
    choice = _start(problem, caps, rng)
    while not meets(problem, choice, caps):
        _carry_out(choice, _draw(_moves_down(problem, choice, caps), rng))
    while moves := _moves_up(problem, choice, caps):
        _carry_out(choice, _draw(moves, rng))
    return problem.bits_of(choice)


def _start(problem: Problem, caps: Caps, rng: np.random.Generator) -> Choice:
    """Random entries of the menu for every side that a limit touches, the most bits for the other."""
    weights, activations = problem.weights, problem.activations
    free = (caps.weights is None and caps.bitops is None, caps.activations is None and caps.bitops is None)
    first, second = (
        side.highest() if unlimited else rng.integers(side.lowest(), side.highest() + 1)
        for side, unlimited in zip((weights, activations), free, strict=True)
    )
    return first, second


def _moves_down(problem: Problem, choice: Choice, caps: Caps) -> list[Move]:
    """Moves that give back something of a limit that is broken."""
    broken = {name: left for name, left in left_over(problem, choice, caps).items() if left < 0}
    found: list[Move] = []
    for side, part in enumerate((problem.weights, problem.activations)):
        back = np.zeros(len(choice[side]), dtype=np.bool_)
        open_groups = np.flatnonzero(choice[side] > part.lowest())
        for change in changes_of(problem, choice, broken, side).values():
            back[open_groups] |= change[open_groups, choice[side][open_groups] - 1] < 0
        found += [(side, int(group), -1) for group in np.flatnonzero(back)]
    return found


def _moves_up(problem: Problem, choice: Choice, caps: Caps) -> list[Move]:
    """Moves that keep every limit."""
    left = left_over(problem, choice, caps)
    found: list[Move] = []
    for side, part in enumerate((problem.weights, problem.activations)):
        open_groups = np.flatnonzero(choice[side] < part.highest())
        fits = np.ones(len(open_groups), dtype=np.bool_)
        for name, change in changes_of(problem, choice, left, side).items():
            fits &= change[open_groups, choice[side][open_groups] + 1] <= left[name]
        found += [(side, int(group), 1) for group in open_groups[fits]]
    return found


def _draw(moves: list[Move], rng: np.random.Generator) -> Move:
    return moves[int(rng.integers(len(moves)))]


def _carry_out(choice: Choice, move: Move) -> None:
    side, group, by = move
    choice[side][group] += by
