"""The quick answer: hulls, left-over budget filled, never worse than the best uniform allocation within the budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.caps import Caps, meets
from qexplore.allocate.fill import fill, give_back
from qexplore.allocate.greedy import descend
from qexplore.allocate.hull import Hull, build_hull
from qexplore.allocate.prices import Priced, find_prices
from qexplore.allocate.problem import Choice, Problem
from qexplore.allocate.relaxation import Relaxation, relax
from qexplore.allocate.side import Side
from qexplore.allocate.swap import swap


@dataclass(frozen=True)
class Quick:
    """An allocation within the caps, the bound of the relaxation, and the price of each resource (RESOURCES) [3].

    hulls: of the weights and the activations, where the sides are independent; relaxation and priced: where bit
    operations couple them.
    """

    choice: Choice
    bound: float
    prices: Floats
    hulls: tuple[Hull | None, Hull | None] = (None, None)
    relaxation: Relaxation | None = None
    priced: Priced | None = None


def quick_answer(problem: Problem, caps: Caps) -> Quick:
    """Two independent hulls where they meet all caps; otherwise prices on both sides and what couples them."""
    apart = _apart(problem, caps)
    return apart if meets(problem, apart.choice, caps) else _together(problem, caps)


def uniform_within(problem: Problem, caps: Caps) -> Choice:
    """The best allocation with one number of bits for each side (locks kept) that meets all caps."""
    weights, activations = problem.weights.uniform(), problem.activations.uniform()
    pairs = [(w, a) for w in weights for a in activations]
    return _best(problem, [pair for pair in pairs if meets(problem, pair, caps)])


def _apart(problem: Problem, caps: Caps) -> Quick:
    sides = (problem.weights, problem.activations)
    limits = (caps.weights, caps.activations)
    hulls = tuple(None if cap is None else build_hull(side) for side, cap in zip(sides, limits, strict=True))
    chosen: list[Ints] = []
    bound, prices = 0.0, np.zeros(3)
    for at, (side, cap, hull) in enumerate(zip(sides, limits, hulls, strict=True)):
        if cap is None or hull is None:
            chosen.append(side.highest())  # without a limit there is nothing to save
            bound += float(side.loss_of(side.highest()))
            continue
        chosen.append(_side_within(side, hull, cap))
        bound += hull.bound(cap)
        prices[at] = hull.price(hull.point(cap))
    return Quick((chosen[0], chosen[1]), bound, prices, (hulls[0], hulls[1]))


def _side_within(side: Side, hull: Hull, cap: int) -> Ints:
    """The hull's allocation, or the best uniform one where few groups make that better."""
    mixed = descend(side, hull, cap)
    levels = side.uniform()
    even = levels[np.searchsorted(side.cost_of(levels), cap, side="right") - 1]
    return swap(side, even if side.loss_of(even) < side.loss_of(mixed) else mixed, cap)


def _together(problem: Problem, caps: Caps) -> Quick:
    relaxation = relax(problem)
    priced = find_prices(relaxation, caps)
    near = _distinct(priced.choices)
    filled = [_filled(problem, caps, give_back(problem, choice, caps)) for choice in near]
    best = _best(problem, [*filled, uniform_within(problem, caps)])
    bound = max(0.0, priced.bound)
    return Quick(_filled(problem, caps, best), bound, priced.prices, relaxation=relaxation, priced=priced)


def _filled(problem: Problem, caps: Caps, choice: Choice) -> Choice:
    return _best(problem, [fill(problem, choice, caps), fill(problem, choice, caps, by_gain=True)])


def _distinct(choices: Iterable[Choice]) -> list[Choice]:
    return list({(c[0].tobytes(), c[1].tobytes()): c for c in choices}.values())


def _best(problem: Problem, choices: list[Choice]) -> Choice:
    return min(choices, key=lambda choice: float(problem.loss_of(choice)))
