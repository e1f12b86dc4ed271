"""An oracle in closed form: with losses a·4^-b the relaxed optimum is reverse water-filling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qexplore.allocate import Budget, allocate

LOWEST, HIGHEST = 2, 8


def water_filling(a: np.ndarray, n: np.ndarray, budget: float) -> np.ndarray:
    """b = clip(½ log2(a ln4 / n) - µ, 2, 8), µ by bisection so that the average is the budget."""
    low, high = -100.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        bits = np.clip(0.5 * np.log2(a * np.log(4) / n) - middle, LOWEST, HIGHEST)
        low, high = (middle, high) if (bits * n).sum() > budget * n.sum() else (low, middle)
    return bits


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("budget", [2.5, 4.0, 6.5])
def test_the_bound_lies_between_water_filling_and_the_optimum(seed: int, budget: float) -> None:
    rng = np.random.default_rng(seed)
    sites, menu = 60, np.arange(LOWEST, HIGHEST + 1)
    a, n = np.exp(rng.normal(0, 3, sites)), rng.integers(10, 10_000, sites)
    table = pd.DataFrame(
        {
            "site": np.repeat([f"s{k}" for k in range(sites)], len(menu)),
            "kind": "weight",
            "numel": np.repeat(n, len(menu)),
            "bits": np.tile(menu, sites),
            "loss": (a[:, None] * 4.0**-menu).ravel(),
        }
    )
    ideal = water_filling(a, n, budget)
    relaxed = float((a * 4.0**-ideal).sum())
    quick = allocate(table, Budget(weight_bits=budget), exact=False)
    best = allocate(table, Budget(weight_bits=budget))
    assert relaxed <= quick.bound * (1 + 1e-9)  # the hull lies above the smooth curve, touching it at whole bits
    assert quick.bound <= best.loss <= quick.loss
    assert quick.bound <= 1.264 * relaxed  # between whole bits a chord of 4^-b is at most 26.4 % above the curve
