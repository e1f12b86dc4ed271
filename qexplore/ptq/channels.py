"""Whether the channels of a layer stay apart and in order on their way, found by sending marked ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import Layer, Op

# Kinds whose result grows with their input by the same positive factor.
HOMOGENEOUS = ("max-pool", "avg-pool", "reshape")
# Of numbers up to ±201, so that few channels alone meet the bend of a Hardswish or GELU, which is straight far out.
SIZES = (-1.07, -0.037, -0.0013, 0.0013, 0.037, 1.07)


@dataclass(frozen=True)
class Channels:
    """Where the channels that a layer gives lie in a tensor (batch of 1).

    last: in the last dimension, as linear layers have them; otherwise in dimension 1, where flattening keeps the
    elements of a channel together.
    """

    number: int
    last: bool

    @staticmethod
    def of(layer: Layer) -> Channels:
        return Channels(len(layer.weight), layer.kind == "linear")

    def fit(self, shape: torch.Size) -> bool:
        """Whether a tensor of `shape` can hold the channels in their place."""
        if len(shape) < 2 or shape[0] != 1:
            return False
        if self.last:
            return shape[-1] == self.number
        return shape[1] == self.number or (len(shape) == 2 and shape[1] % self.number == 0)

    def spread(self, values: Tensor, shape: torch.Size) -> Tensor:
        """`values` [number], one a channel, at each element of a tensor of `shape`."""
        each = math.prod(shape) // self.number
        return (values.repeat(each) if self.last else values.repeat_interleave(each)).reshape(shape)

    def bounds(self, values: Tensor, shape: torch.Size) -> Tensor:
        """`values` [number], one a channel, such that they broadcast over an image of a batch of `shape`."""
        ones = len(shape) - 2
        compact = (1, *[1] * ones, shape[-1]) if self.last else (1, shape[1], *[1] * ones)
        return self.spread(values, torch.Size(compact))[0]

    def kept_by(self, op: Op, source: str, known: Mapping[str, Any]) -> bool:
        """Whether `op`, which reads `source`, scales each channel of its result with that channel of `source`.

        known: results of all operations for one image.
        """
        before, after = known[source], known[op.name]
        if op.kind not in HOMOGENEOUS or op.call is None or not isinstance(after, Tensor):
            return False
        if not (self.fit(before.shape) and self.fit(after.shape)):
            return False
        numbers = torch.arange(1.0, self.number + 1)
        marked, even = (self._through(op, source, known, mark) for mark in (numbers, torch.ones(self.number)))
        # Zero padding lowers averages at the border, with marks as without.
        return torch.allclose(marked / even, self.spread(numbers, after.shape), rtol=1e-5)

    def scaled_by(self, op: Op, source: str, known: Mapping[str, Any]) -> bool:
        """Whether `op`, a function of `source` alone, scales each channel with any positive factor, as PReLU does:
        tried on numbers of both signs and many sizes.
        """
        before, after = known[source], known[op.name]
        if op.kind != "function" or op.inputs != (source,) or op.call is None or not isinstance(after, Tensor):
            return False
        if not (self.fit(before.shape) and self.fit(after.shape)):
            return False
        numbers, marks = torch.linspace(-6, 6, before.numel()).sinh(), torch.arange(2.0, self.number + 2)
        for size in SIZES:
            x = size * numbers.reshape(before.shape)
            scaled, plain = op.call(x * self.spread(marks, before.shape)), op.call(x)
            if not torch.allclose(scaled, plain * self.spread(marks, after.shape), rtol=1e-4, atol=1e-6):
                return False
        return True

    def _through(self, op: Op, source: str, known: Mapping[str, Any], values: Tensor) -> Tensor:
        assert op.call is not None
        marked = self.spread(values, known[source].shape)
        result: Tensor = op.call(*(marked if name == source else known[name] for name in op.inputs))
        return result


def results_of_nothing(network: Network) -> dict[str, Any]:
    """What each operation gives for one image without content: the shapes and constants are those of any image."""
    known: dict[str, Any] = {}
    entry = next(op for op in network.graph.ops if op.kind == "input")
    nothing = torch.zeros(entry.shape, dtype=torch.float32 if entry.on_grid else torch.int64)
    with torch.inference_mode():
        network.real_plan().watch(nothing, known.__setitem__)
    return known
