"""Which weights go when a share of them is to be pruned: those that are least in size.

Pure functions: weights and masks by layer in, masks by layer out; a mask is True where a weight is kept. The share only
rises: what is pruned already stays pruned.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
Masks = dict[str, Tensor]


def cubic(share: float, start: float, done: float) -> float:
    """The share that is pruned when `done` (0 to 1) of the schedule is behind: s + (s₀ - s)(1 - done)³, where
    done = (t - t₀) / (n Δt) (Zhu & Gupta 2017).
    """
    return share + (start - share) * (1 - min(max(done, 0.0), 1.0)) ** 3


def over_all(weights: Weights, masks: Mapping[str, Tensor], share: float) -> Masks:
    """The masks that prune round(share · number) of all weights together, the least |w| first.

    The largest weight of each layer stays, whatever the share. Of equal weights those go first that come first.
    """
    names = list(weights)
    sizes = torch.cat([_sizes(weights[name], masks.get(name)) for name in names])
    kept = _without_least(sizes, round(share * len(sizes)))
    parts = torch.split(kept, [weights[name].numel() for name in names])
    return {name: part.view(weights[name].shape) for name, part in zip(names, parts, strict=True)}


def layer_by_layer(weights: Weights, masks: Mapping[str, Tensor], share: float) -> Masks:
    """The masks that prune round(share · number) of the weights of each layer, the least |w| first, and leave one."""
    found = {}
    for name, weight in weights.items():
        kept = _without_least(_sizes(weight, masks.get(name)), round(share * weight.numel()))
        found[name] = kept.view(weight.shape)
    return found


def _sizes(weight: Tensor, mask: Tensor | None) -> Tensor:
    """|w| in one dimension: -1 where it is pruned already, infinite for the largest that is not."""
    sizes = weight.detach().abs().reshape(-1)
    if mask is not None:
        sizes = torch.where(mask.reshape(-1), sizes, -torch.ones_like(sizes))
    largest = sizes.argmax()
    return sizes.index_fill(0, largest.view(1), torch.inf)


def _without_least(sizes: Tensor, count: int) -> Tensor:
    """False at the `count` least sizes, at all that are -1, and nowhere where they are infinite."""
    count = min(max(count, int((sizes == -1).sum())), int(sizes.isfinite().sum()))
    if count == 0:
        return torch.ones_like(sizes, dtype=torch.bool)
    threshold = sizes.kthvalue(count).values  # in linear time; sorting millions of weights would take as long as a step
    pruned, equal = sizes < threshold, sizes == threshold
    missing = count - int(pruned.sum())
    return ~(pruned | (equal & (equal.cumsum(0) <= missing)))
