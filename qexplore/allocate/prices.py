"""Prices that make the relaxation as tight as it gets: the best lower bound, and good allocations on the way."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from qexplore.allocate.arrays import Floats
from qexplore.allocate.caps import Caps
from qexplore.allocate.problem import Choice
from qexplore.allocate.relaxation import RESOURCES, Points, Relaxation

MOST_EVALUATIONS = 200  # of one search; about ten are needed
ROUNDS = 6  # over the limits, where there are several; the bound is valid after any of them
SWEEP_ROUNDS = 6  # each at most doubles the corners of the frontier that are known


@dataclass
class Priced:
    """The prices [3] found so far, the bound that they prove, and allocations next to the caps."""

    prices: Floats = field(default_factory=lambda: np.zeros(3))
    bound: float = -np.inf
    choices: list[Choice] = field(default_factory=list)


def find_prices(relaxation: Relaxation, caps: Caps) -> Priced:
    """Raises the bound along one price after the other until a round over all limits brings no more."""
    limit = np.array([np.inf if (cap := getattr(caps, name)) is None else float(cap) for name in RESOURCES])
    priced = Priced()
    for _ in range(ROUNDS):
        before = priced.bound
        priced.choices.clear()
        for resource in np.flatnonzero(np.isfinite(limit))[::-1]:  # the coupling one first
            _search(relaxation, limit, int(resource), priced)
        if np.isfinite(limit).sum() == 1 or priced.bound <= before + 1e-9 * abs(before):
            break
    return priced


def sweep(relaxation: Relaxation, prices: Floats) -> list[Choice]:
    """Corners of the frontier of loss against bit operations, cheapest first.

    The other prices stay. Between two neighbouring corners the slope of their line finds the next one.
    """
    nothing = _with(prices, 2, 0.0)
    dear, cheap = relaxation.at(nothing[None]), _floor(relaxation, 2)
    corners = {float(p.cost[0, 2]): (p, 0, 0.0) for p in (cheap, dear)}
    for _ in range(SWEEP_ROUNDS):
        costs = sorted(corners)
        lines = [
            _slope(corners[a][0], corners[a][1], corners[b][0], corners[b][1], prices, 2)
            for a, b in itertools.pairwise(costs)
        ]
        tried = np.stack([_with(prices, 2, line) for line in lines if line > 0] or [nothing])
        points = relaxation.at(tried)
        fresh = [k for k, c in enumerate(points.cost[:, 2].tolist()) if c not in corners]
        if not fresh:
            break
        corners |= {float(points.cost[k, 2]): (points, k, float(tried[k, 2])) for k in fresh}
    kept = [corners[cost] for cost in sorted(corners)]
    return [relaxation.choice(points, k, _with(prices, 2, price)) for points, k, price in kept]


def _search(relaxation: Relaxation, limit: Floats, resource: int, priced: Priced) -> None:
    """Best price of one resource, the others fixed: closes in on the two corners around the cap."""
    cap, prices = float(limit[resource]), priced.prices
    free = relaxation.at(_with(prices, resource, 0.0)[None])
    if free.cost[0, resource] <= cap:
        _keep(relaxation, limit, _with(prices, resource, 0.0), [free], priced)
        return
    dear, cheap = free, _floor(relaxation, resource)
    for _ in range(MOST_EVALUATIONS):
        price = _slope(cheap, 0, dear, 0, prices, resource)
        trial = _with(prices, resource, max(price, 0.0))
        new = relaxation.at(trial[None])
        known = min(_value(cheap, trial), _value(dear, trial))
        if _value(new, trial) >= known - 1e-13 * abs(known):
            break
        if new.cost[0, resource] <= cap:
            cheap = new
        else:
            dear = new
    _keep(relaxation, limit, trial, [cheap, dear, new], priced)


def _keep(relaxation: Relaxation, limit: Floats, prices: Floats, points: list[Points], priced: Priced) -> None:
    at = relaxation.at(prices[None])
    paid = np.where(prices > 0, prices * np.where(np.isfinite(limit), limit, 0.0), 0.0).sum()
    bound = _value(at, prices) - float(paid)
    priced.choices += [relaxation.choice(p, 0, prices) for p in points]
    if bound >= priced.bound:
        priced.bound, priced.prices = bound, prices


def _floor(relaxation: Relaxation, resource: int) -> Points:
    """The fewest bits everywhere: no allocation costs less."""
    weights, activations = relaxation.problem.weights, relaxation.problem.activations
    return relaxation.points(weights.lowest()[relaxation.bitops.weight][None], activations.lowest()[None])


def _value(points: Points, prices: Floats) -> float:
    return float(points.loss[0] + points.cost[0] @ prices)


def _slope(cheap: Points, k: int, dear: Points, j: int, prices: Floats, resource: int) -> float:
    """Loss, the other prices paid, that one unit of the resource saves between two points."""
    other = _with(prices, resource, 0.0)
    rise = cheap.loss[k] + cheap.cost[k] @ other - dear.loss[j] - dear.cost[j] @ other
    run = dear.cost[j, resource] - cheap.cost[k, resource]
    return float(rise / run) if run > 0 else 0.0


def _with(prices: Floats, resource: int, price: float) -> Floats:
    changed = prices.copy()
    changed[resource] = price
    return changed
