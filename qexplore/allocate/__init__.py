"""Bits for a budget: hard limits, the whole frontier, and the proven optimum; needs no torch.

`qx.allocate(table, budget)` is the function of the public face, and `qexplore.allocate` is this package; importing
the package puts it in the function's place, so the package can be called as well.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from qexplore.allocate.answer import Answer
from qexplore.allocate.baseline import uniform
from qexplore.allocate.budget import Budget, InfeasibleBudget
from qexplore.allocate.costs import cost
from qexplore.allocate.curve import frontier
from qexplore.allocate.feasible import require_feasible
from qexplore.allocate.solve import allocate

__all__ = ["Answer", "Budget", "InfeasibleBudget", "allocate", "cost", "frontier", "require_feasible", "uniform"]


class _CallablePackage(ModuleType):
    """This package, called as the function `allocate`."""

    def __call__(self, *args: Any, **keywords: Any) -> Answer:
        return allocate(*args, **keywords)


sys.modules[__name__].__class__ = _CallablePackage
