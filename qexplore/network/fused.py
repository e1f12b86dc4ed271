"""A convolution whose result is clamped before it leaves the processor's cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from qexplore.network.graph import Layer

# Output elements an image from which the pass over memory that is saved costs more than the call.
LARGE = 1 << 12
Forward = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def clamps_inside(layer: Layer, outputs: int) -> bool:
    """Whether `clamped_convolution` takes the layer and gains by it; outputs: elements of its result an image."""
    module = layer.module
    plain = isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return outputs > LARGE and plain and layer.weight.device.type == "cpu" and _available()


def clamped_convolution(layer: Layer, low: float, high: float) -> Forward:
    """The layer's forward (input, weight, bias) with its result clamped to [low, high], as one oneDNN primitive."""
    module = layer.module
    assert isinstance(module, nn.Conv2d)
    places = [list(module.padding), list(module.stride), list(module.dilation), module.groups]
    convolve, bounds = torch.ops.mkldnn._convolution_pointwise, [low, high]

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.requires_grad:  # which the primitive would lose
            return layer.forward(x, weight, bias).clamp(low, high)
        result: Tensor = convolve(x, weight, bias, *places, "hardtanh", bounds, "")
        return result

    return forward


@cache
def _available() -> bool:
    """Whether torch's own compiler primitive is there and does what its name says."""
    try:
        x, weight = torch.linspace(-1, 1, 50).sin().view(1, 2, 5, 5), torch.linspace(-9, 7, 54).cos().view(3, 2, 3, 3)
        got = torch.ops.mkldnn._convolution_pointwise(
            x, weight, None, [1, 1], [1, 1], [1, 1], 1, "hardtanh", [-0.5, 0.5], ""
        )
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(got, nn.functional.conv2d(x, weight, padding=1).clamp(-0.5, 0.5), atol=1e-5)
