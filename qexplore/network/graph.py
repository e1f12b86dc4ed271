"""The captured network as a list of operations: what is computed, from what, under which name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal[
    "input",
    "conv",
    "linear",
    "batchnorm",
    "clamp",
    "add",
    "concat",
    "product",
    "max-pool",
    "avg-pool",
    "reshape",
    "function",
    "value",
    "no-grid",
]
LAYERS: tuple[Kind, ...] = ("conv", "linear")
Bound = float | Tensor | None
Order = Literal["blocks", "turns", "places"]


@dataclass(frozen=True)
class Op:
    """One operation.

    kind: "value" is what no image changes, or a shape; "no-grid" what no grid can hold: several tensors, indices, a
        mask.
    name: unique; the path of the module in the user's code, or scope.function.
    inputs: names of the operations whose results it reads, in the order in which `call` takes them.
    call: the operation itself on real tensors; None for an input.
    lower, upper: the bounds of a clamp (ReLU: 0 and None), upper perhaps one value a channel.
    module: the user's module, where there is one.
    reason: why its inside is not quantized, where it is not.
    axis: the dimension of its result along which images lie; None where it is as long for two images as for one.
    order: how they lie there: "blocks", all places of one image before those of the next; "turns", a place of each
        image, then the next of each, as in [time × images, …]; "places", any other way.
    macs: of a product of two activations, its multiply-accumulates an image.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...] = ()
    call: Callable[..., Any] | None = None
    module: nn.Module | None = None
    lower: float | None = None
    upper: Bound = None
    reason: str = ""
    shape: tuple[int, ...] = ()
    macs: int = 0
    axis: int | None = 0
    order: Order = "blocks"

    @property
    def on_grid(self) -> bool:
        """Whether its result is a tensor of real numbers, which can lie on the grid of a site."""
        return self.kind not in ("value", "no-grid") and not (self.kind == "input" and self.reason)


@dataclass
class Layer:
    """Weights of a convolution or linear layer, float32. Steps replace them; nobody changes them in place.

    mean, std: what a folded batch norm tells of each output channel, before the non-linearity.
    """

    name: str
    kind: Kind
    module: nn.Module
    weight: Tensor
    bias: Tensor | None
    mean: Tensor | None = None
    std: Tensor | None = None

    @property
    def groups(self) -> int:
        return int(getattr(self.module, "groups", 1))

    @property
    def depthwise(self) -> bool:
        return self.kind == "conv" and self.groups > 1 and self.weight.shape[1] == 1

    def shifted(self, shift: Tensor | None) -> Tensor | None:
        """The bias plus `shift`, one value a channel; None where there is neither."""
        if shift is None or self.bias is None:
            return self.bias if shift is None else shift
        return self.bias + shift

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's arithmetic with other weights."""
        if self.kind == "linear":
            return nn.functional.linear(x, weight, bias)
        return self.module._conv_forward(x, weight, bias)  # type: ignore[operator, no-any-return]


@dataclass
class Graph:
    """Operations in an order in which they can be carried out, and the name of the one that gives the logits."""

    ops: list[Op]
    output: str
    by_name: dict[str, Op] = field(init=False)
    readers: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._index()

    def replace(self, ops: Iterable[Op]) -> None:
        """Puts operations of the same names in the place of the old ones."""
        new = {op.name: op for op in ops}
        self.ops = [new.get(op.name, op) for op in self.ops]
        self._index()

    def settle_axes(self, two: Mapping[str, tuple[int, ...]]) -> None:
        """Sets the axis of each operation, the first dimension in which a result for two images, whose shapes these
        are, differs from that for one.
        """

        def axis(op: Op) -> int | None:
            pairs = enumerate(zip(op.shape, two[op.name]))
            return next((dim for dim, (few, many) in pairs if few != many), None)

        self.replace([replace(op, axis=axis(op)) for op in self.ops])

    def settle_orders(self, orders: Mapping[str, Order]) -> None:
        """Sets the order of the operations that are named."""
        self.replace([replace(self.by_name[name], order=order) for name, order in orders.items()])

    def remove(self, name: str) -> None:
        """Takes an operation with one input out; whoever read it reads that input."""
        source = self.by_name[name].inputs[0]
        self.ops = [
            replace(op, inputs=tuple(source if i == name else i for i in op.inputs)) if name in op.inputs else op
            for op in self.ops
            if op.name != name
        ]
        self.output = source if self.output == name else self.output
        self._index()

    def only_reader(self, name: str) -> Op | None:
        """The single operation that reads `name`; None where several do, or where it is the output."""
        readers = self.readers[name]
        return self.by_name[readers[0]] if len(readers) == 1 and name != self.output else None

    def chain(self, name: str) -> list[Op]:
        """The operation `name` with the batch norm and the clamp that are fused into it; the input stays alone."""
        found = [self.by_name[name]]
        if found[0].kind == "input":
            return found
        after = self.only_reader(name)
        if after is not None and after.kind == "batchnorm" and found[0].kind in LAYERS:
            found.append(after)
            after = self.only_reader(after.name)
        if after is not None and after.kind == "clamp":
            found.append(after)
        return found

    def _index(self) -> None:
        self.by_name = {op.name: op for op in self.ops}
        self.readers = {op.name: [] for op in self.ops}
        for op in self.ops:
            for source in op.inputs:
                self.readers[source].append(op.name)


def channels_last(x: Tensor) -> Tensor:
    """Images and their kernels in the memory order in which convolutions are fast on CPU; other tensors row by row."""
    if x.dim() != 4:
        return x.contiguous()
    x = x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    # With one channel, or one pixel, both orders are the same memory, and torch keeps the strides of the slow one.
    return x.as_strided(x.shape, (channels * height * width, 1, width * channels, channels))


def flat(x: Tensor) -> Tensor:
    """All values of `x` in one dimension, in memory order, so that nothing is copied."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    return x.reshape(-1)


def tighter(first: Bound, second: Bound) -> Bound:
    """The lower of two upper bounds."""
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return torch.minimum(torch.as_tensor(first), torch.as_tensor(second))
    return min(first, second)
