"""Where numbers are quantized: the sites of a graph, after the placement rules of the white paper (§2.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from qexplore.network.graph import Graph, Layer, Op


@dataclass(frozen=True)
class Site:
    """One weight tensor or one activation tensor that is quantized.

    at: the operation whose result is quantized (an activation: the last of a fused chain), or the layer of the weight.
    numel: elements of the weight, or elements of the activation an image. Of a weight that several layers share each
        has its share, and the sum is right.
    macs: multiply-accumulates an image of the layer, or of the layers and the products of two activations that read
        the activation. Bit operations, which pair a weight with an activation, leave those products out.
    tied: name of the group of sites that must have equal bits.
    source: of a weight, the activation site that feeds its layer ("" where none does).
    """

    name: str
    index: int
    kind: Literal["weight", "activation"]
    layer: str
    op: str
    at: str
    shape: tuple[int, ...]
    numel: int
    macs: int
    tied: str
    source: str = ""


@dataclass(frozen=True)
class Placement:
    """Sites in network order, and for each operation the activation site on whose grid its result lies ("" for
    none).
    """

    sites: tuple[Site, ...]
    grid: dict[str, str]

    @property
    def at(self) -> dict[str, Site]:
        """Activation sites by the operation where they act."""
        return {site.at: site for site in self.sites if site.kind == "activation"}


def place(graph: Graph, layers: dict[str, Layer]) -> Placement:
    """The sites of `graph`.

    One quantizer after the fused non-linearity; the input is a site; pools and reshapes reuse the grid of their input;
    additions and concatenations requantize their result, and the bits of their operands are tied.
    """
    ends: dict[str, tuple[str, Op]] = {}
    grid: dict[str, str] = {}
    inside: set[str] = set()
    for op in graph.ops:
        if op.name in inside:
            if op.name in ends:
                grid[op.name] = ends[op.name][0]
            continue
        if not op.on_grid:
            grid[op.name] = ""
        elif op.kind in ("max-pool", "avg-pool", "reshape", "clamp"):
            grid[op.name] = grid[op.inputs[0]]  # what else it reads gives a shape or places
        else:
            chain = graph.chain(op.name)
            inside.update(link.name for link in chain[1:])
            name = op.name if op.kind == "input" else f"{op.name}.out"
            ends[chain[-1].name] = (name, op)
            for link in chain[:-1]:
                grid[link.name] = ""
            grid[chain[-1].name] = name
    return Placement(_sites(graph, layers, ends, grid), grid)


def _sites(
    graph: Graph, layers: dict[str, Layer], ends: dict[str, tuple[str, Op]], grid: dict[str, str]
) -> tuple[Site, ...]:
    macs = {name: layer.weight.numel() * _positions(graph.by_name[name], layer) for name, layer in layers.items()}
    read: dict[str, int] = {}
    for name in layers:
        source = grid[graph.by_name[name].inputs[0]]
        read[source] = read.get(source, 0) + macs[name]
    for op in graph.ops:
        for source in {grid[i] for i in op.inputs} if op.kind == "product" else ():
            read[source] = read.get(source, 0) + op.macs
    groups, shared = _tied(graph, grid), _shared(layers)
    sites: list[Site] = []
    for op in graph.ops:
        if op.name in layers:
            layer, owners = layers[op.name], shared[op.name]
            kind = "depthwise" if layer.depthwise else op.kind
            name, shape, source = f"{op.name}.weight", tuple(layer.weight.shape), grid[op.inputs[0]]
            numel, tied = _share(math.prod(shape), owners, op.name), f"{owners[0]}.weight"
            at, cost = op.name, macs[op.name]
            sites.append(Site(name, len(sites), "weight", at, kind, at, shape, numel, cost, tied, source))
        if op.name in ends:
            name, start = ends[op.name]
            # The example is one image: what stands before its channels, windows say, belongs to it.
            shape = op.shape[1:] if op.shape[:1] == (1,) else op.shape
            what = "depthwise" if start.name in layers and layers[start.name].depthwise else start.kind
            cost, tied = read.get(name, 0), groups.get(name, name)
            sites.append(
                Site(name, len(sites), "activation", start.name, what, op.name, shape, math.prod(shape), cost, tied)
            )
    return tuple(sites)


def _positions(op: Op, layer: Layer) -> int:
    """Places an image at which the whole weight is applied."""
    return math.prod(op.shape) // max(1, layer.weight.shape[0])


def _shared(layers: dict[str, Layer]) -> dict[str, list[str]]:
    """Layer → all layers that have the same weight tensor, itself among them: a module called at several places, or
    modules with one parameter, until a step gives them different weights.
    """
    found: dict[int, list[list[str]]] = {}
    shared: dict[str, list[str]] = {}
    for name, layer in layers.items():
        groups = found.setdefault(id(origin_of(layer)), [])
        mine = next((g for g in groups if torch.equal(layers[g[0]].weight, layer.weight)), None)
        if mine is None:
            groups.append(mine := [])
        mine.append(name)
        shared[name] = mine
    return shared


def origin_of(layer: Layer) -> nn.Module | nn.Parameter:
    """What layers have in common that had one weight when they were captured."""
    weight = layer.module.weight
    return weight if isinstance(weight, nn.Parameter) else layer.module


def _share(elements: int, owners: list[str], name: str) -> int:
    """How many of the elements of a weight count as those of one of the layers that share it."""
    each, rest = divmod(elements, len(owners))
    return max(1, each + (owners.index(name) < rest))


def _tied(graph: Graph, grid: dict[str, str]) -> dict[str, str]:
    """Site → group: the operands of additions and concatenations, joined transitively; a group bears its first site's
    name.
    """
    order = {name: place for place, name in enumerate(dict.fromkeys(grid.values()))}
    group: dict[str, str] = {}
    for op in graph.ops:
        operands = [grid[i] for i in op.inputs if grid[i]]
        if op.kind in ("add", "concat") and len(operands) > 1:
            joined = {group.get(name, name) for name in operands}
            leader = min(joined, key=order.__getitem__)
            group.update(dict.fromkeys(operands, leader))
            group.update({name: leader for name, old in group.items() if old in joined})
    return group
