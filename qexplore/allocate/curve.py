"""The frontier as a table: the lowest loss at every value of one limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.bitops import BitOps, require_bitops
from qexplore.allocate.budget import LIMITS
from qexplore.allocate.costs import count, fixed, scales
from qexplore.allocate.hull import build_hull
from qexplore.allocate.prices import sweep
from qexplore.allocate.problem import Choice, Problem, read_problem
from qexplore.allocate.relaxation import relax
from qexplore.errors import QexploreError, UnknownName

Curve: TypeAlias = dict[str, NDArray[Any]]
COLUMNS = ["limit", *LIMITS, "loss"]


def frontier(
    table: pd.DataFrame, limit: str = "weight_bits", *, locked: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """Corners of the lowest loss against one limit, from the least that is possible to where more saves nothing.

    Columns: limit (its name), weight_bits, activation_bits, kb, gbops (NaN where the table cannot count it) and loss,
    a row a corner, cheapest first. The side that is not limited has its highest bits; under "gbops" both are
    chosen. Each row is an allocation that no other one of the same cost beats.
    """
    if limit not in LIMITS:
        raise UnknownName("limit", limit, LIMITS)
    problem = read_problem(table).lock(locked)
    if limit == "gbops":
        require_bitops(problem.bitops)
    elif limit not in scales(problem):
        raise QexploreError(f"A frontier over {limit} needs sites of that kind, and the table has none.")
    return to_frame([trace(problem, limit, (problem.weights.highest(), problem.activations.highest()), np.zeros(3))])


def trace(problem: Problem, limit: str, around: Choice, prices: Floats) -> Curve:
    """The frontier over one limit near an answer: the other side stays as it is, or, for gbops, other prices hold."""
    if limit == "gbops":
        choices = sweep(relax(problem), prices)
        many = (np.stack([c[0] for c in choices]), np.stack([c[1] for c in choices]))
        loss = problem.loss_of(many)
        kept = _undominated(count(problem, many, limit), loss)
        cost = {name: count(problem, many, name)[kept] for name in scales(problem)}
        return _curve(problem, limit, cost, loss[kept])
    active = 1 if limit == "activation_bits" else 0
    side, other = (problem.activations, problem.weights) if active else (problem.weights, problem.activations)
    hull = build_hull(side)
    start: Choice = (around[0], hull.start) if active else (hull.start, around[1])
    cost = {name: np.full(len(hull.cost), count(problem, start, name)) for name in scales(problem)}
    for name in ("activation_bits",) if active else ("weight_bits", "kb"):
        cost[name] = hull.cost + fixed(problem, name)
    if isinstance(problem.bitops, BitOps):
        rates = problem.bitops.rates(problem.weights, problem.activations, around, active)
        rise = rates[hull.group] * (np.diff(hull.cost) // side.elements[hull.group])
        cost["gbops"] = cost["gbops"] + np.concatenate([[0], np.cumsum(rise)])
    return _curve(problem, limit, cost, hull.loss + float(other.loss_of(around[1 - active])))


def to_frame(curves: list[Curve]) -> pd.DataFrame:
    """Curves below each other, as one table."""
    return pd.DataFrame({name: np.concatenate([curve[name] for curve in curves]) for name in COLUMNS}, copy=False)


def _undominated(cost: Ints, loss: Floats) -> Ints:
    """Points that no other one beats, cheapest first; weights shared by several layers can make beaten ones."""
    order = np.lexsort((loss, cost))
    best = np.minimum.accumulate(np.concatenate([[np.inf], loss[order][:-1]]))
    return np.asarray(order[loss[order] < best])


def _curve(problem: Problem, limit: str, cost: dict[str, Ints], loss: Floats) -> Curve:
    known = {name: cost[name] / scale for name, scale in scales(problem).items()}
    columns = {name: known.get(name, np.full(len(loss), np.nan)) for name in LIMITS}
    return {"limit": np.full(len(loss), limit, dtype=object), **columns, "loss": loss}
