"""A small ResNet (He et al. 2016) of basic blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from qexplore.zoo.models.layers import ConvBN


class BasicBlock(nn.Module):
    """Two 3×3 convolutions added to their input, which a 1×1 convolution fits where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvBN(inputs, outputs, 3, stride=stride, act=nn.ReLU(inplace=True))
        self.second = ConvBN(outputs, outputs, 3)
        same = stride == 1 and inputs == outputs
        self.downsample = None if same else ConvBN(inputs, outputs, 1, stride=stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y: Tensor = self.act(self.second(self.first(x)) + shortcut)
        return y


class ResNet(nn.Module):
    """Stem, basic blocks, average pooling, classifier.

    blocks: (output channels, stride) of each block. x: [N, channels, H, W] -> logits [N, classes].
    """

    def __init__(self, blocks: Sequence[tuple[int, int]], *, stem: int, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = ConvBN(channels, stem, 3, act=nn.ReLU(inplace=True))
        width, layers = stem, []
        for outputs, stride in blocks:
            layers.append(BasicBlock(width, outputs, stride))
            width = outputs
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.flatten(self.pool(self.blocks(self.stem(x)))))
        return logits


def resnet_digits() -> ResNet:
    """Three basic blocks (two with a 1×1 downsampling branch) for 8×8 digits; fresh weights."""
    return ResNet(((16, 1), (32, 2), (48, 2)), stem=16)


def resnet20_cifar10() -> ResNet:
    """ResNet-20 of He et al. 2016, §4.2 (three stages of three blocks), for 32×32 colour images; fresh weights.

    Where the shape changes a 1×1 convolution fits the shortcut; theirs pads with zeros.
    """
    stages = ((16, 1), (16, 1), (16, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1))
    return ResNet(stages, stem=16, channels=3)
