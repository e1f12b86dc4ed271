"""A small MobileNetV2 (Sandler et al. 2018): inverted residuals with depthwise convolutions and ReLU6."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from qexplore.zoo.models.layers import ClippedReLU, ConvBN

Activation = Callable[[int], nn.Module]


def _relu6(channels: int) -> nn.Module:
    return nn.ReLU6(inplace=True)


class InvertedResidual(nn.Module):
    """1×1 expansion, 3×3 depthwise, 1×1 linear projection; added to the input where the shapes allow it.

    Where hidden equals inputs nothing is expanded, as in the first block of Sandler et al.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, stride: int, act: Activation) -> None:
        super().__init__()
        self.expand = ConvBN(inputs, hidden, 1, act=act(hidden)) if hidden != inputs else None
        self.depthwise = ConvBN(hidden, hidden, 3, stride=stride, groups=hidden, act=act(hidden))
        self.project = ConvBN(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else self.expand(x)
        y: Tensor = self.project(self.depthwise(hidden))
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """Stem, inverted residuals, 1×1 head, average pooling, classifier.

    blocks: (hidden channels, output channels, stride) of each block. x: [N, channels, H, W] -> logits [N, classes].
    """

    def __init__(
        self,
        blocks: Sequence[tuple[int, int, int]],
        *,
        stem: int,
        head: int,
        channels: int = 1,
        classes: int = 10,
        act: Activation = _relu6,
    ) -> None:
        super().__init__()
        # Stem and head stay ReLU6 also in the rescalable twin: only what lies inside a block is rescaled.
        self.stem = ConvBN(channels, stem, 3, act=_relu6(stem))
        width, layers = stem, []
        for hidden, outputs, stride in blocks:
            layers.append(InvertedResidual(width, hidden, outputs, stride, act))
            width = outputs
        self.blocks = nn.Sequential(*layers)
        self.head = ConvBN(width, head, 1, act=_relu6(head))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(x)))
        logits: Tensor = self.classifier(self.flatten(self.pool(x)))
        return logits


_BLOCKS = ((32, 16, 1), (64, 24, 2), (96, 24, 1), (96, 32, 1), (128, 32, 1))


def mobilenet_digits() -> MobileNet:
    """Five inverted residuals (three of them with an addition) for 8×8 digits; fresh weights."""
    return MobileNet(_BLOCKS, stem=16, head=64)


def mobilenet_digits_rescalable() -> MobileNet:
    """mobilenet_digits with a bound for each channel in place of the 6 of its blocks' ReLU6; fresh weights."""
    return MobileNet(_BLOCKS, stem=16, head=64, act=ClippedReLU)


_WIDE = ((32, 64, 2), *((192, 80, 1),) * 2, (240, 160, 2), *((320, 160, 1),) * 4)


def mobilenetv2_cifar10() -> MobileNet:
    """Eight inverted residuals (five with an addition) for 32×32 colour images; fresh weights.

    As MobileNetV2, but wide and with small expansions, since a CPU trains wide pointwise convolutions for little.
    """
    return MobileNet(_WIDE, stem=32, head=512, channels=3)
