"""A network with other settings at single sites, for as long as a question takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qexplore.network import Network
from qexplore.ptq.shared import for_all_that_share
from qexplore.recipes import Recipe
from qexplore.recipes.sites import check_site, own_of


@contextmanager
def trying(network: Network, sites: Any) -> Iterator[Network]:
    """The network with the bits, ranges and estimators that a recipe's key `sites` would set; always restores.

    sites: {site: {"range": [lo, hi]} or {"method": …, options}, and "bits" where wanted}. Raises as a recipe does.
    """
    asked = Recipe.from_document({"steps": ["fold-bn"], "sites": sites}).sites
    for name, own in asked.items():
        check_site(name, own)
    found = for_all_that_share(network, own_of(network, asked))
    with network.owning(found), network.using({name: own.bits for name, own in found.items() if own.bits}):
        yield network
