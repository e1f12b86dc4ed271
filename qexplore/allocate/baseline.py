"""The baseline that every mixed allocation has to beat: the same bits everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from qexplore.allocate.answer import Answer
from qexplore.allocate.costs import cost
from qexplore.allocate.curve import COLUMNS
from qexplore.allocate.problem import read_problem
from qexplore.allocate.side import Side
from qexplore.errors import QexploreError


def uniform(table: pd.DataFrame, bits: int, activation_bits: int | None = None) -> Answer:
    """Every weight at `bits` and every activation at `activation_bits` (the same where None), as an Answer.

    Its frontier is empty and its bound 0: it answers no budget. Raises QexploreError for bits that the table lacks.
    """
    problem = read_problem(table)
    both = (bits, bits if activation_bits is None else activation_bits)
    choice = (_level(problem.weights, both[0], "weight"), _level(problem.activations, both[1], "activation"))
    loss = float(problem.loss_of(choice))
    chosen = problem.bits_of(choice)
    nothing = pd.DataFrame(columns=COLUMNS)
    return Answer(chosen, loss, cost(table, chosen), nothing, 0.0, False, loss, list(problem.clamped))


def _level(side: Side, bits: int, kind: str) -> np.ndarray:
    level = np.flatnonzero(side.menu == bits)
    if side.size and not len(level):
        menu = ", ".join(map(str, side.menu.tolist()))
        raise QexploreError(f"The table has no loss for {kind}s at {bits!r} bits; it has {menu}.")
    return np.full(side.size, level[0] if len(level) else 0, dtype=np.int64)
