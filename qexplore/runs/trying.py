"""A network with other settings at single sites, for as long as a question takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from qexplore.network import Network, Own
from qexplore.recipes import Recipe
from qexplore.recipes.sites import apply_sites, check_site


@contextmanager
def trying(network: Network, sites: Any) -> Iterator[Network]:
    """The network with the ranges and estimators that a recipe's key `sites` would set; always restores.

    sites: {site: {"range": [lo, hi]} or {"method": …, options}}. Raises as a recipe does.
    """
    asked: Mapping[str, Any] = Recipe.from_document({"steps": ["fold-bn"], "sites": sites}).sites
    for name, own in asked.items():
        check_site(name, own)
    before = dict(network.own)
    try:
        apply_sites(network, asked)
        yield network
    finally:
        for name in [name for name, own in network.own.items() if own is not before.get(name)]:
            network.set_own(name, before.get(name, Own()))
