"""How often a network is right, and how far that figure can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import torch
from scipy.special import bdtr
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


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network said of every image: whether it was right (bool [images]), and the mean cross-entropy in nats."""

    correct: Tensor
    loss: float

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy.of(int(self.correct.sum()), len(self.correct))


@dataclass(frozen=True)
class Paired:
    """Two networks on the same images: how many the second alone has right (gained), how many the first alone (lost),
    the change of accuracy as a fraction, and McNemar's exact p.
    """

    gained: int
    lost: int
    change: float
    p: float


def evaluate(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracy:
    """Top-1 accuracy of `network` on `batches` of (images, labels); QexploreError without images."""
    correct: Tensor | int = 0  # a tensor until the end, so that a GPU is asked but once
    images = 0
    with torch.inference_mode():
        for x, y in batches:
            correct = correct + (network(x).argmax(dim=1) == y.reshape(-1)).sum()
            images += len(y)
    return Accuracy.of(int(correct), images)


def judge(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Judged:
    """Whether `network` is right about each image of `batches` of (images, labels), and its loss; QexploreError without
    images.
    """
    correct: list[Tensor] = []
    total: Tensor | float = 0.0
    with torch.inference_mode():
        for x, y in batches:
            logits, labels = network(x), y.reshape(-1)
            correct.append(logits.argmax(dim=1) == labels)
            total = total + torch.nn.functional.cross_entropy(logits, labels, reduction="sum").double()
    images = sum(map(len, correct))
    _require(images)
    return Judged(torch.cat(correct), float(total) / images)


def compare(before: Judged, after: Judged) -> Paired:
    """McNemar's exact test of two networks on the same images, in the same order.

    p: two-sided, of the images on which they differ, under the hypothesis that either is right as often as the other;
    1 where they never differ. QexploreError for judgements of unequal numbers of images.
    """
    if len(before.correct) != len(after.correct):
        raise QexploreError(
            f"Two networks are compared image by image: judge both on the same images, not on {len(before.correct)} "
            f"and {len(after.correct)}."
        )
    gained = int((after.correct & ~before.correct).sum())
    lost = int((before.correct & ~after.correct).sum())
    p = min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))
    return Paired(gained, lost, (gained - lost) / len(after.correct), p)


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
