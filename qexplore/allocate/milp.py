"""A thin, careful door to HiGHS: binary programmes with partition rows, linked rows and whole-number limits.

The traps of this solver that are handled here: its gap is absolute (the objective is scaled), it keeps rows only to a
tolerance (limits are whole numbers with half a unit of room, divided by their common factor; callers verify), and it
prints to standard output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.quiet import quiet_stdout

SCALED_GAP = 1e5  # the difference between the known answer and the known bound, in units of the scaled objective
LARGEST = 1e9  # no coefficient of the scaled objective is larger
LARGEST_IN_ROW = 1e5
SOLVER_GAP = 1e-6  # absolute; HiGHS stops there


@dataclass
class Program:
    """Minimise objective · x over binary x [N], with rows Σ coefficient · x = right and Σ whole number · x ≤ cap."""

    objective: Floats
    rows: list[tuple[Ints, Ints, Floats, Floats]] = field(default_factory=list)  # (row, column, coefficient, right)
    limits: list[tuple[Ints, int]] = field(default_factory=list)  # (coefficient of each x, cap)


@dataclass(frozen=True)
class Outcome:
    """x [N] of 0 and 1, or None where none was found in time; bound: no solution has a lower objective."""

    x: Ints | None
    bound: float
    tolerance: float


@dataclass(frozen=True)
class Effort:
    """When the search is given up: after seconds, or after nodes of its tree, which no clock decides (None: never)."""

    seconds: float
    nodes: int | None = None


def minimise(program: Program, *, gap: float, effort: Effort) -> Outcome:
    """Solves a programme; `gap` is how much better than the known answer a solution can be at most."""
    from scipy import sparse
    from scipy.optimize import Bounds, LinearConstraint, milp

    largest = float(np.abs(program.objective).max(initial=0.0))
    scale = min(SCALED_GAP / gap, LARGEST / largest if largest else math.inf)
    size = len(program.objective)
    constraints = []
    for row, column, coefficient, right in program.rows:
        matrix = sparse.csr_array((coefficient, (row, column)), shape=(len(right), size))
        constraints.append(LinearConstraint(matrix, right, right))
    for whole, cap in program.limits:
        unit = math.gcd(*whole.tolist()) or 1
        coefficients = (whole // unit).astype(np.float64)
        shrink = LARGEST_IN_ROW / max(float(coefficients.max(initial=0.0)), LARGEST_IN_ROW)
        most = (cap // unit + 0.5) * shrink
        constraints.append(LinearConstraint(sparse.csr_array(coefficients[None] * shrink), -np.inf, most))
    with quiet_stdout():
        found = milp(
            program.objective * scale,
            integrality=np.ones(size),
            bounds=Bounds(0, 1),
            constraints=constraints,
            options={"time_limit": max(effort.seconds, 0.01), "mip_rel_gap": 0.0}
            | ({} if effort.nodes is None else {"node_limit": effort.nodes}),
        )
    bound = getattr(found, "mip_dual_bound", None)
    return Outcome(
        None if found.x is None else np.rint(found.x).astype(np.int64),
        -math.inf if bound is None or not math.isfinite(bound) else float(bound) / scale,
        2 * SOLVER_GAP / scale,
    )
