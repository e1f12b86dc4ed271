"""Building blocks that the zoo's networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClippedReLU(nn.Module):
    """ReLU with an upper bound of its own for each channel: min(max(x, 0), bound).

    With bound 6 everywhere it is ReLU6; rescaling a channel of a ReLU6 network by s is exact when its bound becomes 6 s
    (white paper §3.2, breakpoints scaled with the channel).
    x: [N, C, H, W]. bound: buffer [C].
    """

    bound: Tensor

    def __init__(self, channels: int, bound: float = 6.0) -> None:
        super().__init__()
        self.register_buffer("bound", torch.full((channels,), bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.relu(x), self.bound.view(-1, 1, 1))


class ConvBN(nn.Module):
    """Convolution without bias, batch norm and, where one is given, the activation after it."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        act: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.act is None else self.act(x)
