"""Weights that several layers share: one tensor, whose loss its sites have in common."""

from __future__ import annotations

from collections.abc import Iterable

from qexplore.network import Site

Shares = dict[str, dict[str, float]]


def shares_of(sites: Iterable[Site]) -> Shares:
    """The weights among `sites` that differ, by the first site of each → its sites, and the share of the loss of the
    one tensor that each counts as its own: as large as that of its elements, so that the sum over the sites is right.
    """
    groups: dict[str, dict[str, float]] = {}
    for site in sites:
        if site.kind == "weight":
            groups.setdefault(site.tied, {})[site.name] = float(site.numel)
    named = {next(iter(of)): of for of in groups.values()}
    return {name: {site: n / sum(of.values()) for site, n in of.items()} for name, of in named.items()}
