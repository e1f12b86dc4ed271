"""What a layer's output should be, and which way its weights lead there.

The inputs of a layer stay the same while its rounding is learned. So what can be done once for a batch is done once:
the places under the kernel laid out as rows of a matrix, and, where no non-linearity comes between, the products of
the matrices (project's own choice; the values are those of the plain calculation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from qexplore.network.clamps import clamp
from qexplore.network.graph import Bound, Layer, channels_last, flat

BYTES = 4  # of a float32
CACHED = 2_000_000  # bytes of a batch's columns above which a convolution is no slower


class Objective(Protocol):
    """The squared distance between a layer's output and its targets, summed over channels, mean over images and
    places; of a batch, its share of that, so that batches drawn evenly lead where all images do, the last one too,
    which may be shorter.
    """

    def gradient(self, weight: Tensor, pick: int) -> Tensor:
        """Its derivative for the batch `pick`; it and the weight have one dimension, in memory order."""


@dataclass(frozen=True)
class Problem:
    """A layer, its inputs, and what its output should be after the clamp that follows it; a tensor a batch."""

    layer: Layer
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    lower: Bound = None
    upper: Bound = None

    def distance(self, weight: Tensor) -> float:
        """Squared distance to the targets over all images."""
        layer = self.layer
        return sum(
            float((clamp(layer.forward(x, weight, layer.bias), self.lower, self.upper) - target).square_().sum())
            for x, target in zip(self.inputs, self.targets, strict=True)
        )

    @property
    def places(self) -> float:
        """Images × places of a batch, in the mean."""
        return sum(target.numel() for target in self.targets) / len(self.layer.weight) / len(self.targets)

    def objective(self, room: float = math.inf) -> Objective:
        """The fastest form that keeps at most `room` bytes."""
        layer = self.layer
        if not _is_matrix(layer):
            return _Convolution(self)
        channels, inner = len(layer.weight), layer.weight[0].numel()
        places = [target.numel() // channels for target in self.targets]
        columns = [_column_bytes(layer, x, n) for x, n in zip(self.inputs, places, strict=True)]
        products = len(places) * inner * (inner + channels) * BYTES
        alone = self.lower is None and self.upper is None
        if alone and inner < 2 * places[0] and products + columns[0] <= room:
            return _Products(self)
        fits = columns[0] <= CACHED and sum(columns) <= room
        return _Matrix(self) if fits or layer.kind == "linear" else _Convolution(self)


class _Convolution:
    """Any convolution, as one."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.slope = problem, 2 / problem.places
        module: Any = problem.layer.module
        dims, padding = problem.layer.weight.dim() - 2, module.padding
        self.pads = isinstance(padding, str) or module.padding_mode != "zeros"  # which the primitive does not know
        inside = [0] * dims if self.pads else padding
        self.places: list[Any] = [module.stride, inside, module.dilation, False, [0] * dims, module.groups]

    def gradient(self, weight: Tensor, pick: int) -> Tensor:
        problem, like = self.problem, self.problem.layer.weight
        x, target = problem.inputs[pick], problem.targets[pick]
        x = _padded(problem.layer.module, x) if self.pads else x
        kernel = weight.as_strided(like.shape, like.stride())
        y = torch.convolution(x, kernel, problem.layer.bias, *self.places)
        slope = _slope(y, target, problem.lower, problem.upper)
        wanted = [False, True, False]
        _, found, _ = torch.ops.aten.convolution_backward(slope, x, kernel, None, *self.places, wanted)
        return flat(channels_last(found)).mul_(self.slope)


class _Matrix:
    """A linear layer, or a convolution of all channels, as the product of inputs [places, inner] and weights."""

    def __init__(self, problem: Problem) -> None:
        layer = problem.layer
        self.channels, self.bias, self.slope = len(layer.weight), layer.bias, 2 / problem.places
        self.inputs = [_columns(layer, x) for x in problem.inputs]
        self.targets = [_places(layer, t) for t in problem.targets]
        self.lower, self.upper = (b.flatten() if isinstance(b, Tensor) else b for b in (problem.lower, problem.upper))

    def gradient(self, weight: Tensor, pick: int) -> Tensor:
        x, target = self.inputs[pick], self.targets[pick]
        y = nn.functional.linear(x, weight.view(self.channels, -1), self.bias)
        slope = _slope(y, target, self.lower, self.upper)
        return torch.mm(slope.t(), x).view(-1).mul_(self.slope)


class _Products:
    """A matrix without a clamp after it: W̃xxᵀ - txᵀ needs no image, only the products xxᵀ and txᵀ."""

    def __init__(self, problem: Problem) -> None:
        layer = problem.layer
        self.channels, slope = len(layer.weight), 2 / problem.places
        self.squares, self.pulls = [], []
        for x, target in zip(problem.inputs, problem.targets, strict=True):
            rows, wanted = _columns(layer, x), _places(layer, target)
            wanted = wanted if layer.bias is None else wanted - layer.bias
            self.squares.append(rows.t().mm(rows).mul_(slope))
            self.pulls.append(wanted.t().mm(rows).mul_(slope))

    def gradient(self, weight: Tensor, pick: int) -> Tensor:
        matrix = weight.view(self.channels, -1)
        return torch.addmm(self.pulls[pick], matrix, self.squares[pick], beta=-1).view(-1)


def _slope(y: Tensor, target: Tensor, lower: Bound, upper: Bound) -> Tensor:
    """Half the derivative of ‖clamp(y) - target‖² to y: y - target within the bounds, 0 outside."""
    slope = y - target
    if lower is None and upper is None:
        return slope
    if isinstance(lower, Tensor) or isinstance(upper, Tensor):
        return slope.mul_(clamp(y, lower, upper) == y)
    ends = -math.inf if lower is None else lower, math.inf if upper is None else upper
    torch.ops.aten.hardtanh_backward.grad_input(slope, y, *ends, grad_input=slope)
    return slope


def _is_matrix(layer: Layer) -> bool:
    return layer.kind == "linear" or (isinstance(layer.module, nn.Conv2d) and layer.groups == 1)


def _is_pointwise(module: Any) -> bool:
    """Whether a convolution looks at one place only, and at every place."""
    return module.kernel_size == (1, 1) and module.stride == (1, 1) and not any(module._reversed_padding_repeated_twice)


def _column_bytes(layer: Layer, x: Tensor, places: int) -> int:
    """What `_columns` needs besides `x`."""
    view = x.is_contiguous() if layer.kind == "linear" else _is_pointwise(layer.module) and _last(x).is_contiguous()
    return 0 if view else places * layer.weight[0].numel() * BYTES


def _columns(layer: Layer, x: Tensor) -> Tensor:
    """All that each place of the output sees, in the order of the weights in memory: [images × places, inner]."""
    if layer.kind == "linear":
        return x.reshape(-1, x.shape[-1])
    module: Any = layer.module
    if _is_pointwise(module):
        return _last(x).reshape(-1, x.shape[1])
    windows = _padded(module, x)
    for axis in (0, 1):
        reach = module.dilation[axis] * (module.kernel_size[axis] - 1) + 1
        windows = windows.unfold(2 + axis, reach, module.stride[axis])
    windows = windows[..., :: module.dilation[0], :: module.dilation[1]]
    return windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, layer.weight[0].numel())


def _places(layer: Layer, y: Tensor) -> Tensor:
    """The layer's output as [images × places, channels]."""
    y = y if layer.kind == "linear" else _last(y)
    return y.reshape(-1, y.shape[-1])


def _last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _padded(module: Any, x: Tensor) -> Tensor:
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return nn.functional.pad(x, module._reversed_padding_repeated_twice, mode=mode)
