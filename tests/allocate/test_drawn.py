"""Bits drawn at random meet their budget in whole numbers, and leave nothing of it that one bit would use."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qexplore.allocate import Budget, InfeasibleBudget
from qexplore.allocate.drawn import drawn
from qexplore.allocate.random_problems import random_table
from tests.allocate.problems import draw, read, within


@settings(max_examples=150, deadline=None)
@given(problem=st.integers(0, 100_000), seed=st.integers(0, 5))
def test_bits_drawn_at_random_meet_the_budget_and_no_site_can_have_more(problem: int, seed: int) -> None:
    small = draw(problem)
    menu = sorted(set(small.table["bits"]))
    bits = drawn(small.table, small.budget, seed=seed)
    assert within(small.sites, bits, small.budget)
    assert set(bits.values()) <= set(menu)
    for group in {site.tied for site in small.sites}:
        mine = [site.name for site in small.sites if site.tied == group]
        assert len({bits[name] for name in mine}) == 1
        if bits[mine[0]] < menu[-1]:
            more = bits | dict.fromkeys(mine, menu[menu.index(bits[mine[0]]) + 1])
            assert not within(small.sites, more, small.budget), group


def test_the_same_seed_draws_the_same_bits_and_others_draw_others() -> None:
    table, budget = random_table(30, 20, seed=1), Budget(weight_bits=4, activation_bits=3.5)
    draws = [tuple(drawn(table, budget, seed=seed).items()) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


def test_random_bits_are_spread_over_the_whole_menu() -> None:
    table, budget = random_table(12, ties=0.0, seed=3), Budget(weight_bits=5)
    found = [drawn(table, budget, seed=seed) for seed in range(60)]
    for site in {site.name for site in read(table)}:
        assert len({bits[site] for bits in found}) >= 5, site


def test_a_side_without_a_limit_has_its_most_bits() -> None:
    bits = drawn(random_table(4, 3, seed=0), Budget(weight_bits=3), seed=0)
    assert {b for site, b in bits.items() if site.endswith(".out")} == {8}


def test_losses_are_not_looked_at() -> None:
    table = random_table(6, 4, seed=0)
    budget = Budget(gbops=0.6 * float((table["macs"] * 64).sum()) / 7 / 1e9)
    assert drawn(table, budget, seed=4) == drawn(table.assign(loss=-table["loss"]), budget, seed=4)


def test_an_impossible_budget_is_refused() -> None:
    with pytest.raises(InfeasibleBudget, match="least that is possible"):
        drawn(random_table(4, seed=0), Budget(weight_bits=1.9))
