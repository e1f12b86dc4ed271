"""What every step that allocates bits is told: a hard budget, a menu of bits, and what a recipe has settled already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from qexplore.allocate import Answer, Budget, allocate, require_feasible
from qexplore.allocate.budget import LIMITS
from qexplore.allocate.feasible import MENU
from qexplore.errors import QexploreError
from qexplore.network import Network, Site
from qexplore.network.table import identity
from qexplore.numerics import checked_bits

# The search is bounded by the nodes of its tree: a clock would make a training that is resumed another one.
NODES = 50
MOST_SECONDS = 600.0


@dataclass(frozen=True)
class Limits:
    """weight_bits, activation_bits, kb, gbops: the budget, as in qexplore.allocate.Budget; 0 is no limit. least, most:
    the menu of bits. exact: the integer programme, or the convex hull filled greedily.
    """

    STEP: ClassVar[str] = ""
    weight_bits: float = 0.0
    activation_bits: float = 0.0
    kb: float = 0.0
    gbops: float = 0.0
    least: int = MENU[0]
    most: int = MENU[1]
    exact: bool = True

    def __post_init__(self) -> None:
        if checked_bits(self.least) > checked_bits(self.most):
            raise QexploreError(f"The menu of bits goes from {self.least} to {self.most}: give least ≤ most.")
        if any(getattr(self, name) < 0 for name in LIMITS):
            raise QexploreError("A limit of the budget is 0, which is none, or a positive number.")
        if not self.budget.limits():
            raise QexploreError(
                f"The step {self.STEP!r} has no budget: set weight_bits, activation_bits, kb or gbops, such as "
                f"{self.STEP}.weight_bits=4."
            )

    @property
    def budget(self) -> Budget:
        return Budget(**{name: getattr(self, name) or None for name in LIMITS})

    @property
    def menu(self) -> range:
        return range(self.least, self.most + 1)

    def locked(self, network: Network) -> dict[str, int]:
        """Sites whose bits the recipe has set; QexploreError where they are not on the menu."""
        locked = {name: own.bits for name, own in network.own.items() if own.bits is not None and name in network.bits}
        for name, bits in locked.items():
            if bits not in self.menu:
                raise QexploreError(
                    f"The site {name!r} has {bits} bits of its own, and the menu goes from {self.least} to "
                    f"{self.most}: set {self.STEP}.least and {self.STEP}.most so that they are on it."
                )
        return locked

    def check(self, network: Network) -> None:
        """InfeasibleBudget where no bits of the quantized sites meet the budget, before any sensitivity is computed."""
        sites = pd.DataFrame([identity(network, network.site(name)) for name in network.bits])
        require_feasible(sites, self.menu, self.budget, locked=self.locked(network))


def choices(
    network: Network, sites: Sequence[Site], menu: range, losses: Mapping[tuple[str, int], float]
) -> pd.DataFrame:
    """Site × bits → loss, as `allocate` takes it."""
    known = [(site.name, identity(network, site)) for site in sites]
    return pd.DataFrame([{**row, "bits": b, "loss": losses[name, b]} for name, row in known for b in menu])


def best(plan: Limits, table: pd.DataFrame, locked: Mapping[str, int]) -> Answer:
    """The best bits within the plan's budget by a table as `allocate` takes it; the same on any machine."""
    return allocate(table, plan.budget, exact=plan.exact, locked=locked, time_limit=MOST_SECONDS, nodes=NODES)
