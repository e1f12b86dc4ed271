"""Means over seeds and paired differences over images, each with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from qexplore.network.accuracy import NORMAL_95
from qexplore.studies.trials import Trial


@dataclass(frozen=True)
class Mean:
    """A mean and half the width of its 95 % interval, in the unit of what was averaged."""

    value: float
    half: float

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half


def rounding(images: int) -> float:
    """Standard deviation of an accuracy (fraction) that comes in steps of one of `images` images: 1 / (n √12)."""
    return 1 / (images * math.sqrt(12))


def mean_over_seeds(values: Sequence[float], least: float = 0.0) -> Mean:
    """Mean of one value a seed with Student's interval; one seed alone has no interval (NaN).

    least: standard deviation that the values have at least, in their unit. Accuracies come in steps of one image, so
    that those of three seeds are often equal by chance, which is no certainty: theirs is that of rounding to one image
    (see `rounding`), and of a difference of two √2 of that.
    """
    numbers = torch.tensor(values, dtype=torch.float64)
    count = len(numbers)
    if count < 2:
        return Mean(float(numbers.mean()), math.nan)
    half = float(student.ppf(0.975, count - 1)) * max(least, float(numbers.std())) / math.sqrt(count)
    return Mean(float(numbers.mean()), half)


def paired(before: Sequence[Trial], after: Sequence[Trial]) -> Mean:
    """Change of accuracy (fraction) on the same images, each image's mean over the seeds taken first.

    The interval says how far other images of the same kind could differ. It is the normal one over images with one more
    that is gained and one that is lost: without them networks that never differ would have none, and four images all
    gained would pass for significant, which McNemar's exact test denies.
    """
    change = share_right(after) - share_right(before)
    more = torch.cat([change, torch.tensor([1.0, -1.0], dtype=change.dtype)])
    return Mean(float(change.mean()), NORMAL_95 * float(more.std(correction=0)) / math.sqrt(len(more)))


def share_right(trials: Sequence[Trial]) -> Tensor:
    """Of each image, the share of seeds under which it is classified rightly (float64 [images])."""
    return torch.stack([trial.judged.correct.double() for trial in trials]).mean(dim=0)
