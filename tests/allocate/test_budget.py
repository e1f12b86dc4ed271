"""Budgets: what they accept, and how they say that they cannot be met."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexplore.allocate import Budget, InfeasibleBudget, allocate, frontier, require_feasible, uniform
from qexplore.allocate.budget import rounded_up, whole
from qexplore.allocate.random_problems import random_table
from qexplore.errors import QexploreError
from tests.allocate.problems import draw

LIMITS = ["weight_bits", "activation_bits", "kb", "gbops"]


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "4", True, [4]])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_a_positive_finite_number(name: str, value: object) -> None:
    with pytest.raises(QexploreError, match=f"The budget {name} must be a positive number"):
        Budget(**{name: value})


def test_numbers_of_numpy_are_numbers() -> None:
    assert Budget(weight_bits=np.float32(4), kb=np.int64(3)) == Budget(weight_bits=4.0, kb=3.0)


def test_a_budget_without_limits_is_refused_where_one_is_needed() -> None:
    with pytest.raises(QexploreError, match="has no limit; set weight_bits"):
        allocate(random_table(3), Budget())


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("locked", [{}, {"layers.1.weight": 8, "layers.0.out": 8}])
@pytest.mark.parametrize("name", LIMITS)
def test_the_least_that_is_named_is_possible_and_anything_less_is_not(
    name: str, locked: dict[str, int], exact: bool
) -> None:
    table = random_table(4, 3, seed=3)
    with pytest.raises(InfeasibleBudget) as caught:
        allocate(table, Budget(**{name: 1e-7}), locked=locked, exact=exact)
    error = caught.value
    assert (error.limit, error.asked) == (name, 1e-7)
    assert ("locked sites" in str(error)) == bool(locked)
    said = str(error).partition(";")[0].rpartition(" is ")[2]
    for least in (error.least, float(said)):
        answer = allocate(table, Budget(**{name: least}), locked=locked, exact=exact)
        assert answer.cost[name] <= least
    with pytest.raises(InfeasibleBudget):
        allocate(table, Budget(**{name: math.nextafter(error.least, 0)}), locked=locked, exact=exact)


@pytest.mark.parametrize("locked", [{}, {"layers.1.weight": 8, "layers.0.out": 8}])
@pytest.mark.parametrize("name", LIMITS)
def test_whether_a_budget_can_be_met_is_asked_of_the_sites_alone(name: str, locked: dict[str, int]) -> None:
    table = random_table(4, 3, seed=3)
    menu = sorted({int(bits) for bits in table["bits"]})
    sites = table.drop_duplicates("site").drop(columns=["bits", "loss"])
    with pytest.raises(InfeasibleBudget) as expected:
        allocate(table, Budget(**{name: 1e-7}), locked=locked)
    with pytest.raises(InfeasibleBudget) as caught:
        require_feasible(sites, menu, Budget(**{name: 1e-7}), locked=locked)
    assert str(caught.value) == str(expected.value)
    require_feasible(sites, menu, Budget(**{name: caught.value.least}), locked=locked)
    with pytest.raises(InfeasibleBudget):
        require_feasible(sites, menu, Budget(**{name: math.nextafter(caught.value.least, 0)}), locked=locked)


def test_a_lock_that_is_not_on_the_menu_is_refused_with_the_sites_alone_too() -> None:
    sites = random_table(4, 3, seed=3).drop_duplicates("site")
    with pytest.raises(QexploreError, match="cannot be locked at 9 bits; the menu has 2, 3, 4"):
        require_feasible(sites, (2, 3, 4), Budget(kb=1000), locked={"layers.1.weight": 9})


def test_of_several_limits_the_one_that_is_missed_most_is_named() -> None:
    with pytest.raises(InfeasibleBudget) as caught:
        allocate(random_table(4, 3), Budget(weight_bits=1.9, activation_bits=0.1))
    assert caught.value.limit == "activation_bits"
    assert str(caught.value) == (
        "A budget of 0.1 average activation bits cannot be met: the least that is possible is 2; "
        "raise the average activation bits to that or more."
    )


@given(st.integers(1, 10**15), st.integers(1, 10**9))
def test_a_cost_that_comes_back_as_a_budget_admits_itself(cost: int, scale: int) -> None:
    assert whole(cost / scale, scale, 2 * cost) >= cost
    assert whole(cost / scale, scale, 2 * cost) / scale <= cost / scale


@given(st.floats(1e-9, 1e12))
def test_a_least_value_is_printed_rounded_up(value: float) -> None:
    assert value <= float(rounded_up(value)) <= value * (1 + 1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_the_cost_of_an_answer_as_a_budget_gives_as_good_an_answer(seed: int) -> None:
    small = draw(seed)
    answer = allocate(small.table, small.budget, locked=small.locked)
    again = allocate(small.table, Budget(**answer.cost), locked=small.locked)
    assert again.loss <= answer.loss * (1 + 1e-9)


def test_kb_and_average_bits_are_two_words_for_one_limit() -> None:
    table = random_table(30, seed=4)
    total = int(table.drop_duplicates("site")["numel"].sum())
    by_bits = allocate(table, Budget(weight_bits=4.0))
    by_kb = allocate(table, Budget(kb=4.0 * total / 8000))
    both = allocate(table, Budget(weight_bits=4.0, kb=5.0 * total / 8000))
    assert by_bits.bits == by_kb.bits == both.bits
    assert both.prices["kb"] == 0.0
    assert by_kb.prices["kb"] == pytest.approx(by_bits.prices["weight_bits"] * 8000 / total)


def test_a_side_without_a_limit_keeps_its_highest_bits() -> None:
    table = random_table(6, 4, seed=1)
    activations = set(table.loc[table["kind"] == "activation", "site"])
    answer = allocate(table, Budget(weight_bits=3.0))
    assert {answer.bits[site] for site in activations} == {8}


def test_a_budget_for_everything_gives_everything() -> None:
    table = random_table(6, 4, noise=0.0)
    assert allocate(table, Budget(weight_bits=8, activation_bits=99, gbops=1e300)).bits == uniform(table, 8).bits


@pytest.mark.parametrize("name", LIMITS)
def test_a_frontier_falls_and_each_of_its_points_is_the_answer_to_its_own_cost(name: str) -> None:
    table = random_table(5, 4, seed=8)
    points = frontier(table, name)
    assert (np.diff(points[name]) > 0).all()
    assert (np.diff(points["loss"]) < 0).all()
    assert points["loss"].to_numpy()[-1] == pytest.approx(uniform(table, 8).loss)
    for point in points.iloc[:: max(1, len(points) // 8)].itertuples():
        answer = allocate(table, Budget(**{name: getattr(point, name)}))
        assert answer.loss == pytest.approx(point.loss, rel=1e-9)


def test_weights_shared_by_layers_leave_no_beaten_point_on_the_frontier() -> None:
    table = random_table(6, 3, seed=8)
    table.loc[table["site"].isin(["layers.1.weight", "layers.2.weight"]), "tied"] = "layers.0.weight"
    points = frontier(table, "gbops")
    assert (np.diff(points["gbops"]) > 0).all()
    assert (np.diff(points["loss"]) < 0).all()


def test_the_price_is_the_slope_of_the_frontier_at_the_budget() -> None:
    table = random_table(50, seed=2)
    answer = allocate(table, Budget(weight_bits=4.0))
    points: pd.DataFrame = answer.frontier
    beyond = int((points["weight_bits"] <= 4.0).sum())
    after, before = points.iloc[beyond], points.iloc[beyond - 1]
    slope = (before["loss"] - after["loss"]) / (after["weight_bits"] - before["weight_bits"])
    assert answer.price == answer.prices["weight_bits"] == pytest.approx(slope)
