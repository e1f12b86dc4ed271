"""How sparse a network is in training, as it is told."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from qexplore.network import Network
from qexplore.network.sparsity import sparsity
from qexplore.qat.training import Idle, Training
from qexplore.report import Event


class Sparse(Idle):
    """Tells at the start of a training how many weights its masks leave out."""

    name = "sparsity"

    def begin(self, training: Training) -> list[Event]:
        return [sparsity_event(training.network, training.network.masks, training.at)]


def owners(network: Network) -> dict[str, str]:
    """Layer → the first of the layers that have its weight."""
    sites = [site for site in network.sites if site.kind == "weight"]
    layer = {site.name: site.layer for site in sites}
    return {site.layer: layer[site.tied] for site in sites}


def share_of(network: Network, masks: Mapping[str, Tensor]) -> float:
    """The share of all weights that `masks` prune; a weight that layers share counts once."""
    firsts = list(dict.fromkeys(owners(network).values()))
    pruned = sum(masks[name].numel() - int(masks[name].sum()) for name in firsts if name in masks)
    return pruned / max(1, sum(network.layers[name].weight.numel() for name in firsts))


def sparsity_event(network: Network, masks: Mapping[str, Tensor], at: int) -> Event:
    """The share of zeros that masks fix, in all weights and site by site."""
    sites = {site.name: sparsity(masks.get(site.layer)) for site in network.sites if site.kind == "weight"}
    return {"event": "sparsity", "at": at, "share": share_of(network, masks), "sites": sites}
