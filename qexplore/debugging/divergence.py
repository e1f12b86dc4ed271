"""How far two networks' opinions of an image lie apart."""

from __future__ import annotations

import torch
from torch import Tensor

# By Pinsker's inequality a divergence D moves at most √(D / 2) of the probability that a network gives to its classes.
# A site that moves less than 1 % by itself does no harm worth a name; a network that moves 10 % is another network.
SUSPECT = 2 * 0.01**2
HARM = 2 * 0.10**2
# A bit more halves the step of a grid and quarters its noise power, to which a small divergence is proportional: what
# is not four times better is no repair that a bit could not buy.
ONE_BIT = 4.0


def divergence(real: Tensor, other: Tensor) -> Tensor:
    """KL(softmax(real) ‖ softmax(other)) of each image in nats, float64 [images], the mean over its pixels or tokens;
    logits [images, …, classes], or maps [images, classes, H, W].
    """
    classes = 1 if real.dim() == 4 else -1
    before, after = (torch.log_softmax(logits.double(), dim=classes) for logits in (real, other))
    each = (before.exp() * (before - after)).sum(dim=classes)
    return each.flatten(1).mean(dim=1) if each.dim() > 1 else each
