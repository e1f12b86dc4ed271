"""Small problems with every allocation of them listed, and an independent count of what an allocation costs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pandas as pd

from qexplore.allocate import Budget
from qexplore.allocate.random_problems import random_table


@dataclass(frozen=True)
class Site:
    """One site of a table, with its loss at each number of bits: at least 0, never higher than at fewer bits."""

    name: str
    weight: bool
    numel: int
    macs: int
    feed: str
    tied: str
    losses: dict[int, float]
    bitmap: int = 0


def read(table: pd.DataFrame) -> list[Site]:
    """The sites of a table, read the plain way."""
    found: dict[str, Site] = {}
    columns = ("site", "kind", "numel", "macs", "input", "tied", "bits", "loss")
    rows = sorted(zip(*(table[name].tolist() for name in columns), strict=True), key=lambda row: row[6])
    for name, kind, numel, macs, feed, tied, bits, loss in rows:
        site = found.setdefault(name, Site(name, kind == "weight", numel, macs, feed, tied, {}))
        site.losses[bits] = min([max(0.0, loss), *site.losses.values()])
    return list(found.values())


def prune(table: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, list[Site]]:
    """The table with some weights pruned, and its sites with the elements and multiplications that are kept.

    Of a weight that two sites share, the first has all the kept elements.
    """
    table, sites = table.assign(sparsity=0.0, bitmap=0), read(table)
    changed: dict[str, Site] = {}
    for tied in dict.fromkeys(site.tied for site in sites if site.weight):
        mine = [site for site in sites if site.tied == tied]
        total = sum(site.numel for site in mine)
        kept = int(rng.integers(1, total + 1))
        bitmap = int(rng.integers(0, total + 1)) if kept < total else 0
        for number, site in enumerate(mine):
            places = int(rng.integers(1, 50))
            here = table["site"] == site.name
            table.loc[here, ["sparsity", "macs"]] = [(total - kept) / total, places * total]
            table.loc[here, "bitmap"] = 0 if number else bitmap
            changed[site.name] = replace(
                site, numel=0 if number else kept, macs=places * kept, bitmap=0 if number else bitmap
            )
    table["macs"] = table["macs"].astype("int64")
    return table, [changed.get(site.name, site) for site in sites]


@dataclass(frozen=True)
class Small:
    """A small random problem: sometimes tight, sometimes with locks or pruned weights, always possible."""

    table: pd.DataFrame
    sites: list[Site]
    budget: Budget
    locked: dict[str, int]

    @property
    def fixed(self) -> dict[str, int]:
        """Locks of all sites that are tied to a locked one."""
        return closed(self.sites, self.locked)


def draw(seed: int) -> Small:
    """The same small problem for the same seed."""
    rng = np.random.default_rng(seed)
    weights, activations = int(rng.integers(1, 5)), int(rng.integers(0, 4))
    bits = sorted(rng.choice(np.arange(1, 9), size=int(rng.integers(2, 5)), replace=False).tolist())
    table = random_table(
        weights,
        activations,
        bits=bits,
        noise=float(rng.choice([0.0, 0.3, 2.0])),
        largest=int(rng.choice([10, 300, 10**7])),
        scale=float(rng.choice([1e-12, 1e-9, 1.0, 1e6])),
        ties=float(rng.choice([0.0, 0.5])),
        seed=seed,
    )
    if rng.random() < 0.2:
        table["loss"] = table["loss"].round(int(rng.integers(0, 3)))  # many equal losses, many zeros
    if weights > 1 and rng.random() < 0.2:
        one, other = "layers.0.weight", "layers.1.weight"
        table.loc[table["site"] == other, "tied"] = one  # weights shared by two layers with inputs of their own
    sparse = np.random.default_rng([seed, 1])
    table, sites = prune(table, sparse) if sparse.random() < 0.3 else (table, read(table))
    locked = {str(rng.choice([s.name for s in sites])): int(rng.choice(bits))} if rng.random() < 0.2 else {}
    names = ["weight_bits", "kb"] + (["activation_bits", "gbops"] if activations else [])
    picked = rng.choice(names, size=int(rng.integers(1, len(names) + 1)), replace=False).tolist()
    fixed = closed(sites, locked)
    least, most = (count(sites, {s.name: end for s in sites} | fixed) for end in (bits[0], bits[-1]))
    part = {name: float(rng.random()) * bool(rng.random() < 0.9) for name in picked}
    limits = {name: float(least[name]) + part[name] * float(most[name] - least[name]) for name in picked}
    return Small(table, sites, Budget(**limits), locked)


def closed(sites: list[Site], locked: Mapping[str, int]) -> dict[str, int]:
    """Locks of all sites that are tied to a locked one."""
    groups = {site.name: site.tied for site in sites}
    return {name: bits for lock, bits in locked.items() for name in groups if groups[name] == groups[lock]}


def count(sites: list[Site], bits: Mapping[str, int]) -> dict[str, Fraction]:
    """Exact cost of an allocation, straight from the definitions."""
    found: dict[str, Fraction] = {}
    for weight, name in ((True, "weight_bits"), (False, "activation_bits")):
        mine = [site for site in sites if site.weight == weight]
        if mine:
            total = sum(site.numel * bits[site.name] for site in mine)
            found[name] = Fraction(total, sum(site.numel for site in mine))
            if weight:
                found["kb"] = Fraction(total + sum(site.bitmap for site in mine), 8 * 1000)
    if len(found) == 3:
        products = sum(site.macs * bits[site.name] * bits[site.feed] for site in sites if site.weight)
        found["gbops"] = Fraction(products, 10**9)
    return found


def within(sites: list[Site], bits: Mapping[str, int], budget: Budget) -> bool:
    """Whether each cost, as the nearest float64, is at most its limit: exact but for that rounding."""
    cost = count(sites, bits)
    return all(float(cost[name]) <= limit for name, limit in budget.limits().items())


def brute_force(small: Small) -> float:
    """The lowest loss of all allocations that meet the budget and the locks."""
    menu = sorted(small.sites[0].losses)
    groups = list(dict.fromkeys(site.tied for site in small.sites))
    fixed = {site.tied: small.fixed[site.name] for site in small.sites if site.name in small.fixed}
    options = [[fixed[group]] if group in fixed else menu for group in groups]
    every = np.array(list(itertools.product(*options)), dtype=np.int64)
    bits = {site.name: every[:, groups.index(site.tied)] for site in small.sites}
    losses = [np.array([site.losses.get(b, np.inf) for b in range(9)])[bits[site.name]] for site in small.sites]
    ok = np.ones(len(every), dtype=bool)
    for name, limit in small.budget.limits().items():
        mine = [site for site in small.sites if site.weight != (name == "activation_bits")]
        scale = {"kb": 8000, "gbops": 10**9}.get(name, sum(site.numel for site in mine))
        if name == "gbops":
            spent = sum(site.macs * bits[site.name] * bits[site.feed] for site in mine)
        else:
            spent = sum(site.numel * bits[site.name] + site.bitmap * (name == "kb") for site in mine)
        ok &= spent / scale <= limit
    return float(np.sum(losses, axis=0)[ok].min())
