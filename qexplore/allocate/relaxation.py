"""The problem with prices in place of limits: without coupling caps each activation group decides for itself.

Lagrangian relaxation: minimise loss + Σ price · cost. Given prices, every edge picks its best weight bits for each
choice of the activation's bits, and each group of activations picks the bits that are best for itself and its edges.
The edges of a group of weights on several layers may disagree; that only lowers the value: it stays a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qexplore.allocate.arrays import Floats, Ints
from qexplore.allocate.bitops import BitOps, require_bitops
from qexplore.allocate.problem import Choice, Problem

RESOURCES = ("weights", "activations", "bitops")  # the order of prices and costs in arrays [..., 3]


@dataclass(frozen=True)
class Points:
    """Optima of the relaxation at K prices.

    edge [K, E] and activation [K, A]: menu positions; loss [K]; cost [K, 3], in the order of RESOURCES.
    """

    edge: Ints
    activation: Ints
    loss: Floats
    cost: Floats


@dataclass(frozen=True)
class Relaxation:
    """What does not change with the prices: losses and costs of the edges, and who sits on which edge."""

    problem: Problem
    bitops: BitOps
    edge_loss: Floats  # [E, Bw]; a group's loss stands on its first edge
    edge_cost: Floats  # [E, Bw]
    products: Floats  # [E, Bw, Ba], bit operations
    readers: Floats  # [A, E], 1 where an edge reads the activation

    def at(self, prices: Floats) -> Points:
        """Optima at prices [K, 3]."""
        part = self.problem.activations
        weight, activation, bitop = (prices[:, r, None, None] for r in range(3))
        whole = (self.edge_loss + weight * self.edge_cost)[..., None] + bitop[..., None] * self.products
        own = part.open_loss + activation * part.costs
        chosen = np.argmin(own + self.readers @ whole.min(axis=2), axis=2)
        rows, edges = np.arange(len(prices))[:, None], np.arange(len(self.bitops.macs))
        edge = np.argmin(whole[rows, edges, :, chosen[:, self.bitops.activation]], axis=2)
        return self.points(edge, chosen)

    def points(self, edge: Ints, activation: Ints) -> Points:
        """Loss and costs of choices ([K, E], [K, A]), as the relaxation counts them."""
        part, edges = self.problem.activations, np.arange(len(self.bitops.macs))
        loss = self.edge_loss[edges, edge].sum(axis=1) + part.loss_of(activation)
        bitops = self.products[edges, edge, activation[:, self.bitops.activation]].sum(axis=1)
        cost = np.stack([self.edge_cost[edges, edge].sum(axis=1), part.cost_of(activation), bitops], axis=1)
        return Points(edge, activation, loss, cost)

    def choice(self, points: Points, k: int, prices: Floats) -> Choice:
        """A true allocation for point k: where edges disagree, the group takes what is best for all of them."""
        weights, chosen = self.problem.weights, points.activation[k]
        if self.bitops.first.all():
            level = np.empty(weights.size, dtype=np.int64)
            level[self.bitops.weight] = points.edge[k]
            return level, chosen
        rates = self.bitops.weight_rates(self.problem.activations, chosen)[:, None]
        value = weights.open_loss + prices[0] * weights.costs + prices[2] * rates * weights.menu
        return np.argmin(value, axis=1), chosen

    def excess(self, prices: Floats) -> tuple[float, Floats, Floats]:
        """Value of the relaxation, and how much more than the least each candidate would cost it.

        For (edge, weight bits, activation bits) [E, Bw, Ba], beyond the edge's best at these activation bits; for
        (activation, bits) [A, Ba], beyond the group's best.
        """
        part = self.problem.activations
        whole = (self.edge_loss + prices[0] * self.edge_cost)[..., None] + prices[2] * self.products
        least = whole.min(axis=1)
        own = part.open_loss + prices[1] * part.costs + self.readers @ least
        return float(own.min(axis=1).sum()), whole - least[:, None, :], own - own.min(axis=1, keepdims=True)


def relax(problem: Problem) -> Relaxation:
    """The relaxation of a problem; QexploreError where its bit operations cannot be counted."""
    bitops = require_bitops(problem.bitops)
    weights, activations = problem.weights, problem.activations
    first = bitops.first[:, None]
    loss = np.where(first, weights.loss[bitops.weight], 0.0)
    loss = np.where(weights.allowed[bitops.weight], loss, np.inf)
    readers = np.zeros((activations.size, len(bitops.macs)))
    readers[bitops.activation, np.arange(len(bitops.macs))] = 1.0
    return Relaxation(
        problem,
        bitops,
        edge_loss=loss,
        edge_cost=np.where(first, weights.costs[bitops.weight], 0).astype(np.float64),
        products=np.multiply.outer(bitops.macs.astype(np.float64), np.multiply.outer(weights.menu, activations.menu)),
        readers=readers,
    )
