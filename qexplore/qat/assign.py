"""Bits that are allocated once and stay: the baselines of re-allocation in training, and mixed precision without it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pandas as pd

from qexplore.allocate import Budget, allocate, cost
from qexplore.allocate.drawn import drawn
from qexplore.allocate.sensitivity import METRICS, sensitivity_table
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.table import identity
from qexplore.numerics import checked_bits
from qexplore.ptq import STEPS, Calibration
from qexplore.qat.qbitopt import locked_bits
from qexplore.registry import key_of
from qexplore.report import Report

RANDOM = "random"
SECONDS = 10.0  # for the integer programme


@dataclass(frozen=True)
class Wish:
    """What is to be allocated: the budget (0 is no limit), and the menu of bits."""

    weight_bits: float
    activation_bits: float
    kb: float
    gbops: float
    least: int
    most: int

    @property
    def budget(self) -> Budget:
        found = Budget(**{field.name: getattr(self, field.name) or None for field in fields(Budget)})
        if not found.limits():
            raise QexploreError(
                "The step 'allocate-bits' has no budget: set weight_bits, activation_bits, kb or gbops, such as "
                "allocate-bits.weight_bits=4."
            )
        return found

    @property
    def menu(self) -> range:
        if checked_bits(self.least) > checked_bits(self.most):
            raise QexploreError(f"The menu of bits goes from {self.least} to {self.most}: give least ≤ most.")
        return range(self.least, self.most + 1)


@STEPS.register("allocate-bits")
def allocate_bits(
    network: Network,
    calibration: Calibration,
    report: Report,
    *,
    metric: str = "fit",
    weight_bits: float = 0.0,
    activation_bits: float = 0.0,
    kb: float = 0.0,
    gbops: float = 0.0,
    least: int = 2,
    most: int = 8,
    exact: bool = True,
) -> Network:
    """Gives every quantized site its bits, once, within a hard budget.

    metric: a sensitivity metric on the calibration images ("hessian-trace" with the integer programme is HAWQ-V3's way,
    survey §IV-B), or "random": bits drawn with the seed that meet the budget. weight_bits, activation_bits, kb, gbops:
    the budget, as in qexplore.allocate.Budget; 0 is no limit. least, most: the menu; bits that the recipe gives a site
    stay. exact: the integer programme, or
    the convex hull filled greedily. Ranges follow by the estimator of each site. Raises InfeasibleBudget.
    """
    wish = Wish(weight_bits, activation_bits, kb, gbops, least, most)
    budget, menu = wish.budget, wish.menu
    at_random = key_of(metric) == RANDOM
    if not at_random and metric not in METRICS:
        raise UnknownName("sensitivity metric", metric, [*METRICS, RANDOM])
    before = network.bits
    if not before:
        raise QexploreError(
            "The step 'allocate-bits' shares bits out among quantized sites and there are none: put the steps "
            "'weight-ranges' and 'activation-ranges' before it."
        )
    locked = locked_bits(network, menu, "allocate-bits")
    if at_random:
        bits = drawn(_rows(network, menu), budget, seed=calibration.seed, locked=locked)
        loss, proven = None, False
    else:
        table = sensitivity_table(network, calibration, metric, menu, report)
        table = table[table["site"].isin(before)]
        answer = allocate(table, budget, exact=exact, locked=locked, time_limit=SECONDS)
        bits, loss, proven = answer.bits, answer.loss, answer.exact
    network.set_bits(bits)
    report.event(
        "allocation",
        at=0,
        metric=RANDOM if at_random else METRICS.canonical(metric),
        bits=bits,
        cost=cost(pd.DataFrame([identity(network, network.site(name)) for name in bits]), bits),
        budget=budget.limits(),
        loss=loss,
        changed=sum(before[name] != b for name, b in bits.items()),
        exact=proven,
        frozen=True,
    )
    return network


def _rows(network: Network, menu: range) -> pd.DataFrame:
    """A row for each quantized site and each number of bits."""
    sites = [identity(network, site) for site in network.sites if site.name in network.bits]
    return pd.DataFrame([{**site, "bits": b} for site in sites for b in menu])
