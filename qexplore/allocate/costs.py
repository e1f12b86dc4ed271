"""What an allocation costs, counted in whole numbers and told in the units of a budget.

Pruned weights cost nothing: average bits are those of the weights that are kept, GBOPs are the products with them, and
KB are their bits and one bit for each weight of a layer that tells which are kept (none where whole channels are
pruned, which leave a smaller dense tensor). That the bitmap is stored even where a dense tensor of few bits would be
smaller, and that activations count with all their channels, is the project's own choice.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping

import numpy as np
import pandas as pd

from qexplore.allocate.arrays import Ints
from qexplore.allocate.bitops import BitOps
from qexplore.allocate.budget import BITOPS_IN_GBOP, BITS_IN_KB, LIMITS
from qexplore.allocate.problem import Choice, Problem
from qexplore.allocate.sites import Sites, read_sites
from qexplore.errors import QexploreError, UnknownName


def scales(problem: Problem) -> dict[str, int]:
    """Whole units in one unit of each limit that the table can count: bits · elements, or bit operations."""
    scale: dict[str, int] = {}
    if problem.weights.size:
        scale |= {"weight_bits": problem.weights.total_elements, "kb": BITS_IN_KB}
    if problem.activations.size:
        scale["activation_bits"] = problem.activations.total_elements
    if isinstance(problem.bitops, BitOps):
        scale["gbops"] = BITOPS_IN_GBOP
    return scale


def count(problem: Problem, choice: Choice, limit: str) -> Ints:
    """Cost of allocations ([..., W], [..., A]) → [...], in the whole units of `limit`."""
    return resource(problem, choice, limit) + fixed(problem, limit)


def fixed(problem: Problem, limit: str) -> int:
    """What a limit counts whatever the bits are, in its whole units: the bitmap of kept weights."""
    return problem.bitmap if limit == "kb" else 0


def resource(problem: Problem, choice: Choice, limit: str) -> Ints:
    """What allocations spend ([..., W], [..., A]) → [...] of the resource behind `limit`: without what is fixed."""
    if limit == "activation_bits":
        return np.asarray(problem.activations.cost_of(choice[1]))
    if limit == "gbops":
        assert isinstance(problem.bitops, BitOps)
        return np.asarray(problem.bitops.count(problem.weights, problem.activations, choice))
    return np.asarray(problem.weights.cost_of(choice[0]))


def cost_of(problem: Problem, choice: Choice) -> dict[str, float]:
    """Cost of one allocation in all units that the table can count."""
    found = {name: int(count(problem, choice, name)) / scale for name, scale in scales(problem).items()}
    return {name: found[name] for name in LIMITS if name in found}


def spent_exactly(problem: Problem, choice: Choice) -> dict[str, int]:
    """Bits · elements of weights and activations, and bit operations, in Python's whole numbers."""
    sides = (problem.weights, problem.activations)
    bits = [side.menu[chosen].tolist() for side, chosen in zip(sides, choice, strict=True)]
    spent = {
        name: sum(b * n for b, n in zip(own, side.elements.tolist(), strict=True))
        for name, own, side in zip(("weights", "activations"), bits, sides, strict=True)
    }
    if isinstance(problem.bitops, BitOps):
        edges = zip(*(array.tolist() for array in problem.bitops.ends()), strict=True)
        spent["bitops"] = sum(macs * bits[0][weight] * bits[1][activation] for weight, activation, macs in edges)
    return spent


def cost(table: pd.DataFrame, bits: Mapping[str, int]) -> dict[str, float]:
    """Cost of any allocation {site: bits} in all units that the table can count.

    table: a row a site, or a row a site and bits; no loss is needed, and the bits need not be on a menu. Where it has
    the columns sparsity and bitmap, only kept elements count, and their bitmap in kb. Gives
    weight_bits and kb where all weights have bits, activation_bits where all activations have, and gbops where both
    have and the columns macs and input name the layers. Computed in Python's whole numbers. Raises UnknownName for a
    site that the table lacks, QexploreError where a kind is given in part.
    """
    sites, _, _ = read_sites(table)
    for site, value in bits.items():
        if site not in sites.names:
            raise UnknownName("site", site, sites.names)
        if not isinstance(value, numbers.Integral) or value < 1:
            raise QexploreError(f"The bits of site {site!r} must be a whole number of at least 1, not {value!r}.")
    found: dict[str, float] = {}
    kinds = [kind for kind in ("weight", "activation") if _complete(sites, bits, kind)]
    for kind in kinds:
        total, elements = _bits_of_kind(sites, bits, kind)
        found[f"{kind}_bits"] = total / elements
        if kind == "weight":
            found["kb"] = (total + sites.bitmap) / BITS_IN_KB
    if len(kinds) == 2 and (bitops := _bitops(sites, bits)) is not None:
        found["gbops"] = bitops / BITOPS_IN_GBOP
    return {name: found[name] for name in LIMITS if name in found}


def _names_of_kind(sites: Sites, kind: str) -> list[str]:
    return [name for name, weight in zip(sites.names, sites.weight, strict=True) if weight == (kind == "weight")]


def _complete(sites: Sites, bits: Mapping[str, int], kind: str) -> bool:
    names = _names_of_kind(sites, kind)
    given = [name for name in names if name in bits]
    if given and len(given) < len(names):
        absent = next(name for name in names if name not in bits)
        raise QexploreError(f"Site {absent!r} has no bits; give bits to all {kind} sites or to none.")
    return bool(given)


def _bits_of_kind(sites: Sites, bits: Mapping[str, int], kind: str) -> tuple[int, int]:
    elements = dict(zip(sites.names, sites.elements.tolist(), strict=True))
    names = _names_of_kind(sites, kind)
    return sum(int(bits[name]) * elements[name] for name in names), sum(elements[name] for name in names)


def _bitops(sites: Sites, bits: Mapping[str, int]) -> int | None:
    if sites.macs is None or sites.inputs is None:
        return None
    total = 0
    activations = set(_names_of_kind(sites, "activation"))
    for name, weight, macs, feed in zip(sites.names, sites.weight, sites.macs.tolist(), sites.inputs, strict=True):
        if weight and macs:
            if feed not in activations:
                return None
            total += macs * int(bits[name]) * int(bits[feed])
    return total
