"""Bits that are allocated once and stay: the baselines of re-allocation in training, and mixed precision without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from qexplore.allocate import cost
from qexplore.allocate.drawn import drawn
from qexplore.allocate.sensitivity import METRICS, sensitivity_table
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.table import identity
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.steps import takes
from qexplore.qat.limits import Limits, best, choices
from qexplore.qat.norms import check_untied
from qexplore.qat.settings import defaults_of
from qexplore.registry import key_of
from qexplore.report import Report

RANDOM = "random"


@dataclass(frozen=True)
class Once(Limits):
    """How bits are allocated once: within Limits, by a metric.

    metric: a sensitivity metric on the calibration images, or "random": bits drawn with the seed.
    """

    STEP: ClassVar[str] = "allocate-bits"
    metric: str = "fisher"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.at_random and self.metric not in METRICS:
            raise UnknownName("sensitivity metric", self.metric, [*METRICS, RANDOM])

    @property
    def at_random(self) -> bool:
        return key_of(self.metric) == RANDOM


@STEPS.register("allocate-bits")
@takes(defaults_of(Once), lambda settings: Once(**settings))
def allocate_bits(network: Network, calibration: Calibration, report: Report, **settings: Any) -> Network:
    """Gives every quantized site its bits, once, within a hard budget.

    settings: of Once. The metric "hessian-trace" with the integer programme is HAWQ-V3's way (survey §IV-B); "random"
    draws bits that meet the budget. Bits that the recipe gives a site stay; ranges follow by the estimator of each
    site. Raises InfeasibleBudget.
    """
    plan, before = Once(**settings), dict(network.bits)
    if not before:
        raise QexploreError(
            "The step 'allocate-bits' shares bits out among quantized sites and there are none: put the steps "
            "'weight-ranges' and 'activation-ranges' before it."
        )
    check_untied(network, "put the step 'fold-bn' before 'allocate-bits'")
    plan.check(network)
    wanted, loss, proven = _bits(network, calibration, report, plan)
    network.set_bits(wanted)
    bits = {name: network.bits[name] for name in wanted}
    report.event(
        "allocation",
        at=0,
        metric=RANDOM if plan.at_random else METRICS.canonical(plan.metric),
        bits=bits,
        cost=cost(pd.DataFrame([identity(network, network.site(name)) for name in bits]), bits),
        budget=plan.budget.limits(),
        loss=loss,
        changed=sum(before[name] != b for name, b in bits.items()),
        exact=proven,
        frozen=True,
    )
    return network


def _bits(
    network: Network, calibration: Calibration, report: Report, plan: Once
) -> tuple[dict[str, int], float | None, bool]:
    """The allocation, its loss by the metric (none at random), and whether it is proven to be the best."""
    locked = plan.locked(network)
    if plan.at_random:
        sites = [site for site in network.sites if site.name in network.bits]
        rows = choices(network, sites, plan.menu, {(site.name, b): 0.0 for site in sites for b in plan.menu})
        return drawn(rows, plan.budget, seed=calibration.seed, locked=locked), None, False
    with network.among(network.bits):
        table = sensitivity_table(network, calibration, plan.metric, plan.menu, report)
    answer = best(plan, table, locked)
    return answer.bits, answer.loss, answer.exact
