"""Bit operations: a layer multiplies weights of one group with activations of another, which couples the two sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qexplore.allocate.arrays import Bools, Ints
from qexplore.allocate.side import Side
from qexplore.allocate.sites import Sites
from qexplore.errors import QexploreError


@dataclass(frozen=True)
class BitOps:
    """Layers as edges between a group of weights and a group of activations.

    weight [E], activation [E]: groups; macs [E]: multiplications an image; first [E]: true on one edge of each group of
    weights, the one that carries the group's loss and size. A group of weights without multiplications has one edge
    with macs 0, so that every group is on an edge. uncounted: multiplications an image, at least, of two activations
    with each other (attention), which are on no edge: they would tie the activations to each other.
    """

    weight: Ints
    activation: Ints
    macs: Ints
    first: Bools
    uncounted: int = 0

    def ends(self) -> tuple[Ints, Ints, Ints]:
        """Group of weights, group of activations and MACs of each edge."""
        return self.weight, self.activation, self.macs

    def count(self, weights: Side, activations: Side, chosen: tuple[Ints, Ints]) -> Ints:
        """Σ MACs · weight bits · activation bits of allocations ([..., W], [..., A]) → [...]."""
        weight_bits = weights.menu[chosen[0]][..., self.weight]
        activation_bits = activations.menu[chosen[1]][..., self.activation]
        return np.asarray((self.macs * weight_bits * activation_bits).sum(axis=-1))

    def rates(self, weights: Side, activations: Side, chosen: tuple[Ints, Ints], side: int) -> Ints:
        """Bit operations that one more bit costs each group of a side, 0 weights or 1 activations."""
        if side:
            return self.activation_rates(weights, activations, chosen[0])
        return self.weight_rates(activations, chosen[1])

    def weight_rates(self, activations: Side, chosen: Ints) -> Ints:
        """Bit operations that one more bit costs each group of weights, the activations fixed at `chosen` [W]."""
        rates = np.zeros(int(self.weight.max()) + 1, dtype=np.int64)
        np.add.at(rates, self.weight, self.macs * activations.menu[chosen][self.activation])
        return rates

    def activation_rates(self, weights: Side, activations: Side, chosen: Ints) -> Ints:
        """Bit operations that one more bit costs each group of activations, the weights fixed at `chosen` [A]."""
        rates = np.zeros(activations.size, dtype=np.int64)
        np.add.at(rates, self.activation, self.macs * weights.menu[chosen][self.weight])
        return rates


def read_bitops(sites: Sites, weights: Side, activations: Side) -> BitOps | str:
    """The edges of a table, or the sentence that says why its GBOPs cannot be counted."""
    for column, values in (("macs", sites.macs), ("input", sites.inputs)):
        if values is None:
            return f"A budget of GBOPs needs the column {column!r}, which the table lacks."
    if not weights.size or not activations.size:
        return "A budget of GBOPs needs weight sites and activation sites, and the table has only one kind."
    assert sites.macs is not None
    assert sites.inputs is not None
    position = {name: at for at, name in enumerate(activations.sites)}
    edges: dict[tuple[int, int], int] = {}
    rows = np.flatnonzero(sites.weight)
    for group, row in zip(weights.group.tolist(), rows.tolist(), strict=True):
        macs, name = int(sites.macs[row]), sites.inputs[row]
        if macs and name not in position:
            what = f"names {name!r}, which is no activation of the table" if name else "is empty"
            return f"A budget of GBOPs needs to know what feeds {sites.names[row]!r}, but its 'input' {what}."
        edge = (group, int(activations.group[position[name]]) if macs else 0)
        edges[edge] = edges.get(edge, 0) + macs
    ends = np.array(list(edges), dtype=np.int64)
    first = np.zeros(len(ends), dtype=np.bool_)
    first[np.unique(ends[:, 0], return_index=True)[1]] = True
    return BitOps(ends[:, 0], ends[:, 1], np.array(list(edges.values()), dtype=np.int64), first, sites.products)


def require_bitops(bitops: BitOps | str) -> BitOps:
    """The edges; QexploreError with the reason where there are none."""
    if isinstance(bitops, str):
        raise QexploreError(bitops)
    return bitops
