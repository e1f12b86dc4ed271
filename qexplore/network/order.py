"""In which order the images of a batch lie along a dimension of a result: found by running the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from qexplore.network.execute import Plan
from qexplore.network.graph import Graph, Op, Order


def orders(graph: Graph, plan: Plan, example: Tensor) -> Mapping[str, Order]:
    """The order of each operation of which one image has several places along its axis, as seen from the places that
    change when the second of two images does.

    plan: of real numbers; example: a batch of 1.
    """
    ops = {op.name: op for op in graph.ops if op.on_grid and op.axis is not None and op.shape[op.axis] > 1}
    if not ops:
        return {}
    before, after = (_results(plan, torch.cat([example, x]), ops) for x in (example, _another(example)))
    return {name: _order(_changed(op, before[name], after[name])) for name, op in ops.items()}


def _another(example: Tensor) -> Tensor:
    """Another image of the same numbers, so that words stay in their vocabulary; real ones move by a part of 1, so that
    an image of one colour changes too.
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(example.numel(), generator=generator)
    shuffled = example.flatten()[order.to(example.device)].view(example.shape)
    if not example.is_floating_point():
        return shuffled
    return shuffled + torch.rand(example.shape, generator=generator).to(example)


def _results(plan: Plan, x: Tensor, names: Collection[str]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        plan.watch(x, lambda name, value: found.update({name: value} if name in names else {}))
    return found


def _changed(op: Op, before: Tensor, after: Tensor) -> Tensor:
    """Which places along the axis of `op` have changed, [places] bool; rounding of sums is no change."""
    assert op.axis is not None
    close = 1e-6 * float(before.nan_to_num(0, 0, 0).abs().max())
    same = torch.isclose(after, before, rtol=1e-5, atol=close, equal_nan=True)
    return (~same).movedim(op.axis, 0).flatten(1).any(dim=1)


def _order(changed: Tensor) -> Order:
    """The order in which no place of the first of two images has changed. Places of the second that are the same, as
    behind a ReLU, tell nothing.
    """
    if not bool(changed[: len(changed) // 2].any()):
        return "blocks"
    return "places" if bool(changed[::2].any()) else "turns"
