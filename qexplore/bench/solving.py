"""How long an allocation takes to solve, by the hull and exactly."""

from __future__ import annotations

from qexplore.allocate import Budget, allocate
from qexplore.allocate.random_problems import random_table
from qexplore.bench.timing import BENCHES, medians
from qexplore.report import Report

SIZES = (20, 50, 100, 200)


@BENCHES.register("solve")
def solve(report: Report) -> dict[str, float]:
    """Milliseconds of one allocation at 4 average bits over 20 to 200 weight sites × 7 bit widths, from the table to
    the answer.
    """
    found: dict[str, float] = {}
    for sites in report.track(SIZES, "solving"):
        table, budget = random_table(sites), Budget(weight_bits=4.0)

        def hull(table=table, budget=budget) -> object:  # type: ignore[no-untyped-def]
            return allocate(table, budget, exact=False)

        def exact(table=table, budget=budget) -> object:  # type: ignore[no-untyped-def]
            return allocate(table, budget, exact=True)

        times = medians({"hull": hull, "exact": exact})
        found |= {f"{name}-ms {sites} sites": seconds * 1e3 for name, seconds in times.items()}
    return found
