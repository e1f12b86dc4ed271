"""How often a network is right, and how far that figure can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from qexplore.errors import QexploreError

NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Accuracy:
    """Fraction of images classified rightly, its 95 % interval (Wilson's), and the number of images."""

    value: float
    low: float
    high: float
    images: int

    @staticmethod
    def of(correct: int, images: int) -> Accuracy:
        """Wilson's score interval; QexploreError without images."""
        _require(images)
        share, z2 = correct / images, NORMAL_95**2
        centre = (share + z2 / (2 * images)) / (1 + z2 / images)
        half = NORMAL_95 / (1 + z2 / images) * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2))
        return Accuracy(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), images)

    def to_document(self) -> dict[str, float | int]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%}, {self.images} images)"


def evaluate(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracy:
    """Top-1 accuracy of `network` on `batches` of (images, labels); QexploreError without images."""
    correct: Tensor | int = 0  # a tensor until the end, so that a GPU is asked but once
    images = 0
    with torch.inference_mode():
        for x, y in batches:
            correct = correct + (network(x).argmax(dim=1) == y.reshape(-1)).sum()
            images += len(y)
    return Accuracy.of(int(correct), images)


def cross_entropy(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean cross-entropy in nats of `network` on `batches` of (images, labels); QexploreError without images."""
    total, images = 0.0, 0
    with torch.inference_mode():
        for x, y in batches:
            total += float(torch.nn.functional.cross_entropy(network(x), y.reshape(-1), reduction="sum"))
            images += len(y)
    _require(images)
    return total / images


def _require(images: int) -> None:
    if images < 1:
        raise QexploreError("There are no images to evaluate on: give the evaluation part at least one.")
