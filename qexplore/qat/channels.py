"""Which channels go when a share of them is to be pruned, and the masks that say so.

Pure functions of weights, masks and the coupling of a network's channels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from qexplore.qat.coupling import Coupling
from qexplore.qat.magnitude import Masks, Weights


def least_channels(coupling: Coupling, weights: Weights, gone: Tensor, share: float) -> Tensor:
    """Which groups of channels are pruned [groups], bool: of every set of groups round(share · number), those with the
    least L2 norm, but never all of them; and all that are `gone` already.

    The norm of a group is that of its filters in all the layers whose channels it joins; groups of one set are compared
    with each other alone, so that every layer loses the same share (project's own choice).
    """
    norms = torch.where(gone, -torch.ones(coupling.number), squared_norms(coupling, weights))
    sets, pruned = coupling.sets(), gone.clone()
    for number in range(int(sets.max()) + 1 if len(sets) else 0):
        mine = (sets == number).nonzero().view(-1)
        count = min(round(share * len(mine)), len(mine) - 1)
        pruned[mine[norms[mine].sort(stable=True).indices[:count]]] = True
    return pruned


def squared_norms(coupling: Coupling, weights: Weights) -> Tensor:
    """Sum of squares of the filters of each group [groups]; a weight that layers share counts once."""
    found, seen = torch.zeros(coupling.number), set()
    for name, groups in coupling.outputs.items():
        if name in weights and id(weights[name]) not in seen:
            seen.add(id(weights[name]))
            free = groups >= 0
            squares = weights[name].detach().square().flatten(1).sum(dim=1)
            found.index_add_(0, groups[free], squares[free])
    return found


def gone_in(coupling: Coupling, masks: Mapping[str, Tensor]) -> Tensor:
    """Which groups the masks prune already [groups]: those of whose filters nothing is kept."""
    alive = torch.zeros(coupling.number, dtype=torch.bool)
    for name, groups in coupling.outputs.items():
        free = groups >= 0
        some = masks[name].flatten(1).any(dim=1) if name in masks else torch.ones(len(groups), dtype=torch.bool)
        alive[groups[free & some]] = True
    return ~alive


def masks_without(coupling: Coupling, gone: Tensor, weights: Weights, masks: Mapping[str, Tensor]) -> Masks:
    """The masks of all layers without the groups that are gone, and without what `masks` prune already.

    Where that would leave nothing of a layer, its largest weight stays that is not pruned yet, in a filter that stays
    where one has such a weight (project's own choice).
    """
    found = {}
    for name, weight in weights.items():
        rows, columns = ~among(coupling.outputs[name], gone), ~among(coupling.inputs[name], gone)
        kept = rows[:, None] & columns[None, :]
        kept = kept.view(*kept.shape, *[1] * (weight.dim() - 2)).expand(weight.shape)
        before = masks.get(name, torch.ones_like(weight, dtype=torch.bool))
        both = kept & before
        found[name] = both if bool(both.any()) else _largest(weight, before, rows)
    return found


def _largest(weight: Tensor, before: Tensor, rows: Tensor) -> Tensor:
    """The mask that keeps one weight: the largest of those that `before` keeps, in `rows` where it keeps any there."""
    there = before & rows.view(-1, *[1] * (weight.dim() - 1))
    sizes = weight.detach().abs().masked_fill(~(there if bool(there.any()) else before), -1.0)
    kept = torch.zeros(weight.numel(), dtype=torch.bool)
    kept[sizes.reshape(-1).argmax()] = True
    return kept.view(weight.shape)


def among(groups: Tensor, gone: Tensor) -> Tensor:
    """Which channels [channels] belong to a group that is gone."""
    return torch.where(groups >= 0, gone[groups.clamp(min=0)], False) if len(gone) else torch.zeros_like(groups).bool()
