"""How often a network is right, or how well its maps fit, and how far that figure can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from scipy.special import bdtr
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network.masks import check_maps, interval, mean_iou, overlaps, pixel_losses, shares_right, signed_rank

NORMAL_95 = 1.959963984540054
Metric = Literal["accuracy", "miou"]


@dataclass(frozen=True)
class Accuracy:
    """Fraction of images classified rightly, its 95 % interval (Wilson's), and the number of images; of masks the mean
    intersection over union, with an interval by a bootstrap over images.
    """

    value: float
    low: float
    high: float
    images: int
    metric: Metric = "accuracy"

    @staticmethod
    def of(correct: int, images: int) -> Accuracy:
        """Wilson's score interval; QexploreError without images."""
        _require(images)
        share, z2 = correct / images, NORMAL_95**2
        centre = (share + z2 / (2 * images)) / (1 + z2 / images)
        half = NORMAL_95 / (1 + z2 / images) * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2))
        return Accuracy(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), images)

    @staticmethod
    def of_maps(overlap: Tensor) -> Accuracy:
        """Mean IoU of counts [images, 3, classes] (`masks.overlaps`); QexploreError without images."""
        _require(len(overlap))
        value, (low, high) = mean_iou(overlap), interval(overlap)
        return Accuracy(value, min(value, low), max(value, high), len(overlap), "miou")

    def to_document(self) -> dict[str, Any]:
        """The figures, with the key "metric" where they are not those of an accuracy."""
        document = asdict(self)
        return document if self.metric != "accuracy" else {k: v for k, v in document.items() if k != "metric"}

    def __str__(self) -> str:
        what = " mean IoU" if self.metric == "miou" else ""
        return f"{self.value:.1%}{what} ({self.low:.1%} to {self.high:.1%}, {self.images} images)"


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network said of every image, and the mean cross-entropy in nats.

    correct: whether it was right, bool [images]; of masks the share of pixels that were, float64 [images].
    overlap: of masks, the counts that mean IoU is made of, int64 [images, 3, classes].
    """

    correct: Tensor
    loss: float
    overlap: Tensor | None = None

    @property
    def accuracy(self) -> Accuracy:
        if self.overlap is not None:
            return Accuracy.of_maps(self.overlap)
        return Accuracy.of(int(self.correct.sum()), len(self.correct))


@dataclass(frozen=True)
class Paired:
    """Two networks on the same images: how many the second alone has right (gained), how many the first alone (lost),
    the change of accuracy as a fraction, and McNemar's exact p.

    Of masks: images of which more pixels are right (gained), or fewer (lost), the change of the mean IoU, and the p of
    Wilcoxon's signed-rank test of the images' shares of right pixels.
    """

    gained: int
    lost: int
    change: float
    p: float


class Tally:
    """Logits and labels of one batch after the other, into one judgement."""

    def __init__(self) -> None:
        self._correct: list[Tensor] = []
        self._overlap: list[Tensor] = []
        self._loss: Tensor | float = 0.0  # a tensor until the end, so that a GPU is asked but once

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """labels: class numbers [images], or masks [images, H, W]."""
        if len(labels) == 0:
            return
        self._loss = self._loss + summed_loss(logits, labels).double()
        if labels.dim() == 3:
            self._overlap.append(overlaps(logits, labels))
        else:
            self._correct.append(logits.argmax(dim=1) == labels.reshape(-1))

    def judged(self) -> Judged:
        """QexploreError without images."""
        overlap = torch.cat(self._overlap) if self._overlap else None
        correct = torch.cat(self._correct) if self._correct else torch.empty(0, dtype=torch.bool)
        correct = correct if overlap is None else shares_right(overlap)
        _require(len(correct))
        return Judged(correct, float(self._loss) / len(correct), overlap)


def evaluate(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Accuracy:
    """Top-1 accuracy of `network` on `batches` of (images, labels), or mean IoU on those of (images, masks);
    QexploreError without images.
    """
    return judge(network, batches).accuracy


def judge(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Judged:
    """What `network` says of each image of `batches` of (images, labels), and its loss; QexploreError without any."""
    tally = Tally()
    # Not in inference mode: what a user's module keeps of its forward could take no part in a training later.
    with torch.no_grad():
        for x, y in batches:
            tally.add(network(x), y)
    return tally.judged()


def compare(before: Judged, after: Judged) -> Paired:
    """Two networks on the same images, in the same order; QexploreError for unequal numbers of images.

    p: two-sided. Of classes, McNemar's exact test of the images on which they differ, under the hypothesis that either
    is right as often as the other; 1 where they never differ. Of masks, Wilcoxon's (project's own choice: mean IoU is
    no mean over images, and shares of right pixels are).
    """
    if len(before.correct) != len(after.correct):
        raise QexploreError(
            f"Two networks are compared image by image: judge both on the same images, not on {len(before.correct)} "
            f"and {len(after.correct)}."
        )
    gained = int((after.correct > before.correct).sum())
    lost = int((before.correct > after.correct).sum())
    if before.overlap is not None and after.overlap is not None:
        change = mean_iou(after.overlap) - mean_iou(before.overlap)
        return Paired(gained, lost, change, signed_rank(before.correct, after.correct))
    p = min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))
    return Paired(gained, lost, (gained - lost) / len(after.correct), p)


def cross_entropy(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean cross-entropy in nats of `network` on `batches` of (images, labels); QexploreError without images."""
    return judge(network, batches).loss


def summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over the images of their cross-entropy in nats, see `image_losses`."""
    return image_losses(logits, labels).sum()


def image_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each image in nats, [images]; an image with a mask has the mean over its counted pixels."""
    if labels.dim() == 3:
        check_maps(logits, labels)
        return pixel_losses(logits, labels)
    _check_classes(logits, labels)
    return torch.nn.functional.cross_entropy(logits, labels.reshape(-1), reduction="none")


def _check_classes(logits: Tensor, labels: Tensor) -> None:
    if logits.dim() != 2:
        raise QexploreError(
            f"The labels are one class for each image and the network gives {list(logits.shape)}: it needs logits "
            "[images, classes], or the task masks [images, H, W]."
        )
    if len(labels) and int(labels.max()) >= logits.shape[1]:
        raise QexploreError(
            f"The labels hold class {int(labels.max())}, but the network tells {logits.shape[1]} classes apart (0 to "
            f"{logits.shape[1] - 1}): give it images of its own classes."
        )


def _require(images: int) -> None:
    if images < 1:
        raise QexploreError("There are no images to evaluate on: give the evaluation part at least one.")
