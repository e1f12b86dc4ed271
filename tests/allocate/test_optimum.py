"""Laws of the optimum: no budget is exceeded, and nothing beats an exact answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qexplore.allocate import Answer, Budget, allocate, uniform
from qexplore.allocate.random_problems import random_table
from tests.allocate.problems import Small, brute_force, count, draw, read, within

CLOSE = 1e-9


def check(seed: int, *, exact: bool = True) -> None:
    """All laws on one random problem."""
    small = draw(seed)
    quick = allocate(small.table, small.budget, exact=False, locked=small.locked)
    assert lawful(small, quick), seed
    if exact:
        best, truth = allocate(small.table, small.budget, locked=small.locked), brute_force(small)
        assert lawful(small, best), seed
        assert best.exact, seed
        assert best.loss <= quick.loss, seed
        assert best.loss == pytest.approx(truth, rel=CLOSE, abs=0.0), seed
        assert quick.bound <= truth * (1 + CLOSE), seed


def lawful(small: Small, answer: Answer) -> bool:
    """Within the budget, locks kept, tied sites equal, bound below the loss, cost and loss as counted here."""
    groups = {(site.tied, answer.bits[site.name]) for site in small.sites}
    loss = math.fsum(site.losses[answer.bits[site.name]] for site in small.sites)
    return (
        within(small.sites, answer.bits, small.budget)
        and small.fixed.items() <= answer.bits.items()
        and len(groups) == len({site.tied for site in small.sites})
        and answer.bound <= answer.loss
        and math.isclose(answer.loss, loss, rel_tol=1e-12)
        and answer.cost == {name: float(value) for name, value in count(small.sites, answer.bits).items()}
    )


@pytest.mark.parametrize("batch", range(20))
def test_an_exact_answer_is_the_best_of_all_allocations(batch: int) -> None:
    for seed in range(100 * batch, 100 * batch + 100):
        check(seed)


@pytest.mark.parametrize("batch", range(10))
def test_a_quick_answer_keeps_budget_and_locks(batch: int) -> None:
    for seed in range(1000 * batch, 1000 * batch + 1000):
        check(seed, exact=False)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_exact_answer_of_ten_thousand_is_beaten() -> None:
    for seed in range(10_000):
        check(seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-15])
def test_a_tiny_loss_is_solved_as_well_as_a_large_one(seed: int, scale: float) -> None:
    budget = Budget(weight_bits=4.0)
    large = allocate(random_table(40, seed=seed), budget)
    tiny = allocate(random_table(40, scale=scale, seed=seed), budget)
    assert tiny.exact
    assert tiny.loss / scale == pytest.approx(large.loss, rel=1e-8)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("seed", range(4))
def test_mixed_bits_are_never_worse_than_uniform_bits_at_the_same_cost(seed: int, bits: int) -> None:
    table = random_table(6, 5, seed=seed)
    even = uniform(table, bits)
    for names in (["weight_bits"], ["activation_bits"], ["weight_bits", "activation_bits"], ["gbops"], list(even.cost)):
        budget = Budget(**{name: even.cost[name] for name in names})
        quick, best = allocate(table, budget, exact=False), allocate(table, budget)
        assert best.bound <= best.loss <= quick.loss <= even.loss


def test_an_answer_that_ran_out_of_time_says_so() -> None:
    table = random_table(150, 150, seed=2)
    even = uniform(table, 4).cost
    budget = Budget(weight_bits=4.2, activation_bits=4.2, gbops=0.95 * even["gbops"])
    answer = allocate(table, budget, time_limit=0.1)
    assert within(read(table), answer.bits, budget)
    assert answer.bound <= answer.loss
    if not answer.exact:
        assert "not proven within 0.1 s" in answer.note
        assert 0 < answer.gap < 0.05


def test_exact_answers_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(6):
        allocate(random_table(20, seed=seed), Budget(weight_bits=4.0))
    assert capfd.readouterr().out == ""


def test_large_tables_meet_their_budget_to_the_bit() -> None:
    table = random_table(200, 200, largest=10**8, seed=5)
    budget = Budget(weight_bits=3.7, activation_bits=math.pi)
    answer = allocate(table, budget, time_limit=2.0)
    assert within(read(table), answer.bits, budget)
    assert answer.cost["weight_bits"] == pytest.approx(3.7, abs=1e-3)
    assert np.isfinite(answer.loss)
