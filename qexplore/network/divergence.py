"""How far two networks' opinions of an image lie apart."""

from __future__ import annotations

import torch
from torch import Tensor


def divergence(real: Tensor, other: Tensor) -> Tensor:
    """KL(softmax(real) ‖ softmax(other)) of each image in nats, float64 [images], the mean over its pixels or tokens;
    logits [images, …, classes], or maps [images, classes, H, W].
    """
    classes = 1 if real.dim() == 4 else -1
    before, after = (torch.log_softmax(logits.double(), dim=classes) for logits in (real, other))
    each = (before.exp() * (before - after)).sum(dim=classes)
    return each.flatten(1).mean(dim=1) if each.dim() > 1 else each
