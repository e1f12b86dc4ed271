"""The table of sensitivities as arrays: two sides, the bit operations between them, and what had to be clamped."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from qexplore.allocate.arrays import Bools, Floats, Ints, numbers_of
from qexplore.allocate.bitops import BitOps, read_bitops
from qexplore.allocate.side import Side
from qexplore.allocate.sites import Columns, Sites, read_sites
from qexplore.errors import QexploreError, UnknownName

Choice = tuple[Ints, Ints]  # menu positions of the groups of weights [..., W] and of activations [..., A]


@dataclass(frozen=True)
class Problem:
    """What an allocation is chosen from.

    order: names of the sites in network order; bitops: edges, or why GBOPs cannot be counted; clamped: (site, bits)
    whose loss was negative or higher than at fewer bits; bitmap: bits that tell which weights are kept, whatever bits
    these have; locked: how many sites are locked.
    """

    weights: Side
    activations: Side
    bitops: BitOps | str
    order: tuple[str, ...]
    clamped: tuple[tuple[str, int], ...]
    bitmap: int = 0
    locked: int = 0

    def lock(self, locked: Mapping[str, int] | None) -> Problem:
        """The problem with some sites fixed: {site: bits}."""
        locked = dict(locked or {})
        for site, bits in locked.items():
            if site not in self.order:
                raise UnknownName("site", site, self.order)
            if not isinstance(bits, numbers.Integral):
                raise QexploreError(f"Site {site!r} must be locked at a whole number of bits, not {bits!r}.")
        mine = {site: bits for site, bits in locked.items() if site in set(self.weights.sites)}
        others = {site: bits for site, bits in locked.items() if site not in mine}
        return replace(
            self, weights=self.weights.lock(mine), activations=self.activations.lock(others), locked=len(locked)
        )

    def loss_of(self, choice: Choice) -> Floats:
        """Loss of allocations ([..., W], [..., A]) → [...]."""
        return np.asarray(self.weights.loss_of(choice[0]) + self.activations.loss_of(choice[1]))

    def bits_of(self, choice: Choice) -> dict[str, int]:
        """Bits of each site, in network order."""
        bits = self.weights.bits_of(choice[0]) | self.activations.bits_of(choice[1])
        return {site: bits[site] for site in self.order}


def read_problem(table: pd.DataFrame) -> Problem:
    """Validates a table of sensitivities (a row a site and bits) and turns it into arrays.

    Needs the columns site, kind, numel, bits, loss; uses index, tied, input, macs where they are there. Raises
    QexploreError with one sentence for what is missing, doubled, contradictory or not a number.
    """
    sites, rows, codes = read_sites(table)
    bits, loss = _column(rows, "bits", sites, codes), _column(rows, "loss", sites, codes)
    if "metric" in rows and (rows["metric"] != rows["metric"][0]).any():
        metrics = ", ".join(map(repr, pd.unique(rows["metric"])))
        raise QexploreError(f"The table holds the metrics {metrics}; keep the rows of one of them.")
    if ((bits < 1) | (bits > 32) | (bits != np.floor(bits))).any():
        raise QexploreError("Column 'bits' must hold whole numbers from 1 to 32.")
    sides, clamped = [], []
    for wanted in (True, False):
        mine = np.flatnonzero(sites.weight == wanted)
        position = np.full(len(sites.names), -1)
        position[mine] = np.arange(len(mine))
        keep = position[codes] >= 0
        names = tuple(sites.names[i] for i in mine)
        menu, losses = _grid(names, position[codes[keep]], bits[keep].astype(np.int64), loss[keep])
        smooth = np.minimum.accumulate(np.maximum(losses, 0.0), axis=1)
        clamped += [(names[s], int(menu[b])) for s, b in np.argwhere(smooth != losses)]
        sides.append(_tie(names, [sites.tied[i] for i in mine], menu, smooth, sites.elements[mine]))
    _require_one_kind(sites)
    return Problem(sides[0], sides[1], read_bitops(sites, *sides), sites.names, tuple(clamped), sites.bitmap)


def _column(rows: Columns, name: str, sites: Sites, codes: Ints) -> Floats:
    if name not in rows:
        raise QexploreError(f"The table lacks the column {name!r}; it has {', '.join(rows)}.")
    values = numbers_of(rows[name])
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        where = f" at {rows['bits'][at]} bits" if name == "loss" else ""
        site, said = sites.names[codes[at]], "nan" if pd.isna(rows[name][at]) else rows[name][at]
        raise QexploreError(f"The {name} of site {site!r}{where} is {said}, not a finite number.")
    return values


def _grid(names: tuple[str, ...], site: Ints, bits: Ints, loss: Floats) -> tuple[Ints, Floats]:
    """Menu [B] and loss [S, B]; every site must have every entry of the menu once."""
    menu, level = np.unique(bits, return_inverse=True)
    count = np.zeros((len(names), len(menu)), dtype=np.int64)
    np.add.at(count, (site, level), 1)
    for s, b in np.argwhere(count != 1)[:1]:
        what = "more than one row" if count[s, b] else "no row"
        entries = ", ".join(map(str, menu.tolist()))
        raise QexploreError(f"Site {names[s]!r} has {what} at {menu[b]} bits; it needs one row at each of {entries}.")
    if not len(names):
        return np.ones(1, dtype=np.int64), np.zeros((0, 1))  # an empty side: a menu that nobody chooses from
    losses = np.empty(count.shape)
    losses[site, level] = loss
    return menu, losses


def _tie(names: tuple[str, ...], tied: list[str], menu: Ints, loss: Floats, elements: Ints) -> Side:
    order: dict[str, int] = {}
    group = np.array([order.setdefault(name, len(order)) for name in tied], dtype=np.int64)
    losses = np.zeros((len(order), len(menu)))
    size = np.zeros(len(order), dtype=np.int64)
    np.add.at(losses, group, loss)
    np.add.at(size, group, elements)
    allowed: Bools = np.ones(losses.shape, dtype=np.bool_)
    return Side(names, group, menu, losses, size, allowed)


def _require_one_kind(sites: Sites) -> None:
    weights = {tie for tie, weight in zip(sites.tied, sites.weight, strict=True) if weight}
    both = [tie for tie, weight in zip(sites.tied, sites.weight, strict=True) if not weight and tie in weights]
    if both:
        raise QexploreError(f"The tied group {both[0]!r} holds weights and activations; tie sites of one kind.")
