"""What training makes small: the task's loss, and the distance to the FP32 network's outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qexplore.errors import QexploreError
from qexplore.network import summed_loss


def task_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of a batch in nats; smoothing: share of each label that is spread over all classes."""
    loss = summed_loss(logits, labels) / len(labels)
    if smoothing == 0:
        return loss
    if labels.dim() == 3:
        raise QexploreError("Labels of pixels are not smoothed: set smoothing to 0 for a task with masks.")
    return (1 - smoothing) * loss - smoothing * F.log_softmax(logits, 1).mean()


def distance(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(logits / T)), mean over images (and pixels), in nats.

    The gradient is that of Hinton et al.'s cross-entropy of soft targets (survey §IV-D); T² keeps its size when T
    changes, and the divergence is 0 where both agree.
    """
    wanted, got = (F.log_softmax(each / temperature, dim=1) for each in (teacher, logits))
    divergence = (wanted.exp() * (wanted - got)).sum(1)
    return temperature**2 * divergence.mean()


def mixed_loss(
    logits: Tensor, labels: Tensor, teacher: Tensor | None, share: float, temperature: float, smoothing: float = 0.0
) -> Tensor:
    """(1 - share) · task loss + share · distance to the teacher."""
    if teacher is None or share == 0:
        return task_loss(logits, labels, smoothing)
    far = distance(logits, teacher, temperature)
    return far if share == 1 else torch.lerp(task_loss(logits, labels, smoothing), far, share)
