"""Weights that several layers share: one tensor, counted once, on one grid."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from qexplore.errors import QexploreError
from qexplore.network import Network, Own


def shared_layers(network: Network) -> frozenset[str]:
    """Layers whose weight is another layer's too."""
    tied = [(site.layer, site.tied) for site in network.sites if site.kind == "weight"]
    groups = [group for _, group in tied]
    return frozenset(layer for layer, group in tied if groups.count(group) > 1)


def for_all_that_share(network: Network, own: Mapping[str, Own]) -> dict[str, Own]:
    """What holds at single sites, with what holds for one of the layers that share a weight given to all of them.

    QexploreError where different things are set for two of them: the weight would be several tensors.
    """
    first: dict[str, str] = {}
    weights = [site for site in network.sites if site.kind == "weight"]
    for site in weights:
        if site.name not in own:
            continue
        other = first.setdefault(site.tied, site.name)
        if not _same(own[other], own[site.name]):
            raise QexploreError(
                f"The sites {other!r} and {site.name!r} are one weight, which layers share: set the same for both, or "
                "something for one of them alone, which then holds for all."
            )
    return {**own, **{site.name: own[first[site.tied]] for site in weights if site.tied in first}}


def _same(one: Own, other: Own) -> bool:
    if (one.bits, one.estimator) != (other.bits, other.estimator):
        return False
    if one.range is None or other.range is None:
        return one.range is other.range
    return torch.equal(one.range.lo, other.range.lo) and torch.equal(one.range.hi, other.range.hi)
