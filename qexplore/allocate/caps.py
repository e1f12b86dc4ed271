"""A budget in whole numbers: what may be spent of each resource, or the error that names what is least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qexplore.allocate.bitops import require_bitops
from qexplore.allocate.budget import Budget, InfeasibleBudget, whole
from qexplore.allocate.costs import count, fixed, resource, scales
from qexplore.allocate.problem import Choice, Problem
from qexplore.errors import QexploreError

RESOURCE = {"weight_bits": "weights", "kb": "weights", "activation_bits": "activations", "gbops": "bitops"}


@dataclass(frozen=True)
class Caps:
    """What may be spent: bits · elements of weights and of activations, and bit operations; None is no limit."""

    weights: int | None = None
    activations: int | None = None
    bitops: int | None = None


def read_caps(problem: Problem, budget: Budget) -> Caps:
    """The budget in whole numbers, each of which can be met; InfeasibleBudget otherwise.

    All costs are least when each group has its fewest bits, so that limits which can be met alone can be met together.
    What costs the same whatever the bits are, the bitmap of kept weights, is taken off its limit.
    """
    limits = budget.limits()
    if not limits:
        raise QexploreError("The budget has no limit; set weight_bits, activation_bits, kb or gbops.")
    least: Choice = (problem.weights.lowest(), problem.activations.lowest())
    most: Choice = (problem.weights.highest(), problem.activations.highest())
    unlocked: Choice = (np.zeros_like(least[0]), np.zeros_like(least[1]))
    found: dict[str, int] = {}
    failed: list[tuple[float, InfeasibleBudget]] = []
    for limit, asked in limits.items():
        scale = _scale(problem, limit)
        cap = whole(asked, scale, int(count(problem, most, limit)))
        lowest = int(count(problem, least, limit))
        if cap < lowest:
            locks_matter = lowest > int(count(problem, unlocked, limit))
            error = InfeasibleBudget(limit, asked, lowest / scale, locked=problem.locked if locks_matter else 0)
            failed.append((lowest / scale / asked, error))
        left = cap - fixed(problem, limit)
        found[RESOURCE[limit]] = min(left, found.get(RESOURCE[limit], left))
    if failed:
        raise max(failed, key=lambda pair: pair[0])[1]  # the limit that is exceeded most
    return Caps(**found)


def spent(problem: Problem, choice: Choice) -> dict[str, int]:
    """What an allocation spends of each resource that the table can count."""
    return {RESOURCE[limit]: int(resource(problem, choice, limit)) for limit in scales(problem)}


def meets(problem: Problem, choice: Choice, caps: Caps) -> bool:
    """Whether an allocation keeps all limits, in whole numbers."""
    cost = spent(problem, choice)
    limits = {"weights": caps.weights, "activations": caps.activations, "bitops": caps.bitops}
    return all(cost[name] <= cap for name, cap in limits.items() if cap is not None)


def _scale(problem: Problem, limit: str) -> int:
    if limit == "gbops":
        require_bitops(problem.bitops)
    found = scales(problem).get(limit)
    if found is None:
        kind = "activation" if limit == "activation_bits" else "weight"
        raise QexploreError(f"The budget {limit} needs {kind} sites, and the table has none.")
    return found
