"""Which channels of different layers can only go together.

A channel of a layer is gone when nothing of it is left anywhere: its filters are 0, and so is all that is computed from
them up to the layers that sum over it, whose weights for it go too. So the operands of an addition lose the same
channels, a depthwise layer those of its input, and a channel that reaches the logits, or an operation that does not
leave it apart and at 0, stays. The walk and its rules are the project's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Bound, Op
from qexplore.ptq.channels import results_of_nothing

Ids = NDArray[np.int64]
STAYS = 0  # the channel that every channel which has to stay is joined with


@dataclass(frozen=True)
class Coupling:
    """number: of groups of channels, each of which goes as a whole.

    outputs, inputs: by layer the group of each output channel [out] and of each input channel of its weight [in];
    norms: by batch norm that of each channel. -1 where a channel has to stay.
    """

    number: int
    outputs: dict[str, Tensor]
    inputs: dict[str, Tensor]
    norms: dict[str, Tensor]

    def sets(self) -> Tensor:
        """The set of each group [number]: groups whose channels are those of the same layers form one set."""
        member = np.zeros((self.number, len(self.outputs)), dtype=np.bool_)
        for column, groups in enumerate(self.outputs.values()):
            member[groups[groups >= 0].numpy(), column] = True
        return torch.from_numpy(np.unique(member, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64))


@dataclass(frozen=True)
class _Channels:
    """The channels of a tensor: their dimension, and who each of them is."""

    dim: int
    ids: Ids


def couple(network: Network) -> Coupling:
    """The groups of channels of a network that can go, each as a whole."""
    return _Walk(network).coupling()


class _Walk:
    def __init__(self, network: Network) -> None:
        self.network, self.known = network, results_of_nothing(network)
        self.at: dict[str, _Channels | None] = {}
        self.outputs: dict[str, Ids] = {}
        self.inputs: dict[str, Ids] = {}
        self.norms: dict[str, Ids] = {}
        self.count = 1
        self.joined: list[tuple[Ids, Ids]] = []

    def coupling(self) -> Coupling:
        graph = self.network.graph
        for op in graph.ops:
            self.at[op.name] = self._visit(op)
        self._stay(graph.output)
        for first, other in self._shared():
            for side in (self.outputs, self.inputs):
                self._join(side[first], side[other])
        number, group = self._groups()
        sides = (self.outputs, self.inputs, self.norms)
        return Coupling(number, *({name: torch.from_numpy(group[ids]) for name, ids in side.items()} for side in sides))

    def _visit(self, op: Op) -> _Channels | None:
        """The channels of the result; None where none of them can go."""
        if op.kind in ("input", "value"):
            return None
        if op.kind in LAYERS:
            return self._layer(op)
        if op.kind == "batchnorm":
            return self._norm(op)
        if op.kind == "add":
            return self._add(op)
        if op.kind == "concat":
            return self._concat(op)
        if op.kind == "clamp" and _holds_zero(op.lower, op.upper):
            return self.at[op.inputs[0]]
        moving = [name for name in op.inputs if self.at[name] is not None]
        if len(moving) == 1 and op.on_grid and self._is_tensor(op):
            found = self._through(op, moving[0])
            if found is not None:
                return found
        return self._end(op)

    def _layer(self, op: Op) -> _Channels:
        layer = self.network.layers[op.name]
        ndim = len(op.shape)
        dim = ndim - 1 if op.kind == "linear" else 1
        out, inside = layer.weight.shape[0], layer.weight.shape[1] * layer.groups
        source = self.at[op.inputs[0]]
        if source is not None and (source.dim != dim or len(source.ids) != inside):
            self._stay(op.inputs[0])
            source = None
        ids = self._new(out)
        before = np.full(inside, STAYS) if source is None else source.ids
        if layer.groups == 1:
            self.inputs[op.name] = before
        else:
            self.inputs[op.name] = np.full(layer.weight.shape[1], STAYS)
            if layer.weight.shape[1] == 1:
                self._join(before.repeat(out // inside), ids)
            else:  # groups of several channels must stay of one size
                self._join(before, np.full(inside, STAYS))
                self._join(ids, np.full(out, STAYS))
        self.outputs[op.name] = ids
        return _Channels(dim, ids)

    def _norm(self, op: Op) -> _Channels | None:
        """A batch norm behind a layer loses gain and shift of what goes; another one, which stays as it is, ends it."""
        source, graph = self.at[op.inputs[0]], self.network.graph
        before = graph.by_name[op.inputs[0]]
        if source is None or source.dim != 1 or before.kind not in LAYERS or graph.only_reader(before.name) is None:
            return self._end(op)
        self.norms[op.name] = source.ids
        return source

    def _add(self, op: Op) -> _Channels | None:
        operands = [self.at[name] for name in op.inputs]
        known = [channels for channels in operands if channels is not None]
        alike = len(known) == len(operands) and len({(c.dim, len(c.ids)) for c in known}) == 1
        if not alike or any(self.known[name].shape != self.known[op.name].shape for name in op.inputs):
            return self._end(op)
        for other in known[1:]:
            self._join(known[0].ids, other.ids)
        return known[0]

    def _concat(self, op: Op) -> _Channels | None:
        dims = {channels.dim for name in op.inputs if (channels := self.at[name]) is not None}
        if len(dims) != 1 or not self._is_tensor(op) or not all(torch.is_tensor(self.known[i]) for i in op.inputs):
            return self._end(op)
        dim = dims.pop()
        parts = [self.known[name].shape for name in op.inputs]
        shape = self.known[op.name].shape
        if any(len(p) != len(shape) for p in parts) or sum(p[dim] for p in parts) != shape[dim]:
            return self._end(op)
        found = [self.at[name] for name in op.inputs]
        ids = [np.full(p[dim], STAYS) if c is None else c.ids for c, p in zip(found, parts, strict=True)]
        return _Channels(dim, np.concatenate(ids))

    def _through(self, op: Op, source: str) -> _Channels | None:
        """The channels behind an operation that leaves each of them apart, and at 0 where it is 0."""
        channels = self.at[source]
        assert channels is not None
        if op.kind == "reshape" and (moved := self._moved(op, source, channels)) is not None:
            return moved
        shape, result = self.known[source].shape, self.known[op.name].shape
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(shape, generator=generator)
        half = torch.rand(len(channels.ids), generator=generator) < 0.5
        if not bool(half.any()) or bool(half.all()):
            half = torch.arange(len(channels.ids)) % 2 == 0
        for dim in range(1, len(result)):
            if result[dim] == len(channels.ids) and all(
                self._stays_zero(op, source, x, gone, channels.dim, dim) for gone in (half, ~half)
            ):
                return _Channels(dim, channels.ids)
        return None

    def _stays_zero(self, op: Op, source: str, x: Tensor, gone: Tensor, before: int, after: int) -> bool:
        y = self._call(op, source, x.index_fill(before, gone.nonzero().view(-1), 0.0))
        rows = y.movedim(after, 0).reshape(len(gone), -1)
        return bool((rows[gone] == 0).all()) and (bool(gone.all()) or bool((rows[~gone] != 0).any()))

    def _moved(self, op: Op, source: str, channels: _Channels) -> _Channels | None:
        """Where a change of shape puts the channels: each number of the tensor marked with its channel."""
        shape = self.known[source].shape
        ones = [len(channels.ids) if dim == channels.dim else 1 for dim in range(len(shape))]
        marks = torch.from_numpy(channels.ids).double().view(ones).expand(shape).contiguous()
        marked = self._call(op, source, marks)
        for dim in dict.fromkeys((1, marked.dim() - 1)):
            if 0 < dim < marked.dim():
                rows = marked.movedim(dim, 0).reshape(marked.shape[dim], -1)
                least, most = rows.aminmax(dim=1)
                if torch.equal(least, most) and torch.equal(least, least.round()):
                    return _Channels(dim, least.long().numpy())
        return None

    def _call(self, op: Op, source: str, x: Tensor) -> Tensor:
        assert op.call is not None
        with torch.inference_mode():
            result: Tensor = op.call(*(x if name == source else self.known[name] for name in op.inputs))
        return result

    def _is_tensor(self, op: Op) -> bool:
        return op.call is not None and torch.is_tensor(self.known.get(op.name))

    def _end(self, op: Op) -> _Channels | None:
        """What the operation reads has to stay, and nothing of its result can go: None."""
        for name in op.inputs:
            self._stay(name)
        return None

    def _stay(self, name: str) -> None:
        channels = self.at[name]
        if channels is not None:
            self._join(channels.ids, np.full(len(channels.ids), STAYS))

    def _join(self, one: Ids, other: Ids) -> None:
        self.joined.append((one, other))

    def _new(self, number: int) -> Ids:
        self.count += number
        return np.arange(self.count - number, self.count)

    def _shared(self) -> list[tuple[str, str]]:
        """Pairs of layers with one weight."""
        sites = [site for site in self.network.sites if site.kind == "weight" and site.tied != site.name]
        return [(self.network.site(site.tied).layer, site.layer) for site in sites]

    def _groups(self) -> tuple[int, Ids]:
        """Number of groups, and the group of each channel, -1 for those that stay."""
        from scipy import sparse
        from scipy.sparse import csgraph

        ends = [np.concatenate([pair[side] for pair in self.joined]) for side in (0, 1)]
        edges = sparse.coo_array((np.ones(len(ends[0])), ends), shape=(self.count, self.count))
        _, label = csgraph.connected_components(edges, directed=False)
        free = np.unique(label[label != label[STAYS]])
        group: Any = np.searchsorted(free, label)
        return len(free), np.where(label == label[STAYS], -1, group).astype(np.int64)


def _holds_zero(lower: Bound, upper: Bound) -> bool:
    low = lower is None or bool((torch.as_tensor(lower) <= 0).all())
    return low and (upper is None or bool((torch.as_tensor(upper) >= 0).all()))
