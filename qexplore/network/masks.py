"""How well a network tells the classes of pixels: counts an image, mean intersection over union, and its interval."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from torch import Tensor

from qexplore.errors import QexploreError

IGNORED = 255  # the label of pixels that do not count
RESAMPLES = 1000
AT_ONCE = 1 << 22  # numbers of the resampling that are held at a time
Floats = NDArray[np.float64]


def overlaps(logits: Tensor, masks: Tensor) -> Tensor:
    """Pixels of each image and class, int64 [images, 3, classes]: in both the network's map and the mask, in the map,
    in the mask; pixels that the mask ignores are in none.

    logits: [images, classes, H, W]; masks: [images, H, W], 255 where a pixel is ignored.
    """
    images, classes = logits.shape[:2]
    counted = masks != IGNORED
    place = torch.arange(images, device=masks.device)[:, None, None] * classes
    told, said = logits.argmax(dim=1) + place, masks + place
    each = [said[counted & (told == said)], told[counted], said[counted]]
    counts = [torch.bincount(pixels, minlength=images * classes).view(images, classes) for pixels in each]
    return torch.stack(counts, dim=1)


def shares_right(overlap: Tensor) -> Tensor:
    """Of each image, the share of its counted pixels whose class is right; 1 where none counts. float64 [images]."""
    both, _, mask = overlap.sum(dim=2).double().unbind(1)
    return torch.where(mask > 0, both / mask.clamp(min=1), 1.0)


def mean_iou(overlap: Tensor) -> float:
    """Mean over the classes that are anywhere, in a mask or told, of intersection over union summed over the images."""
    return float(_mean_iou(overlap.sum(dim=0).double().numpy(force=True)[None])[0])


def interval(overlap: Tensor, seed: int = 0) -> tuple[float, float]:
    """Ends of the 95 % interval of the mean IoU: percentiles of a bootstrap over images (Efron 1979; 1,000 resamples
    of a fixed seed are the project's own choice).
    """
    counts = overlap.double().flatten(1).numpy(force=True)  # [images, 3 · classes]
    images, shape = len(counts), overlap.shape[1:]
    generator, found = np.random.default_rng(seed), []
    for part in np.array_split(np.empty(RESAMPLES), max(1, RESAMPLES * images // AT_ONCE)):
        drawn = generator.multinomial(images, np.full(images, 1 / images), size=len(part))
        found.append(_mean_iou((drawn @ counts).reshape(-1, *shape)))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return float(low), float(high)


def signed_rank(before: Tensor, after: Tensor) -> float:
    """p, two-sided, of Wilcoxon's signed-rank test over images, under the hypothesis that the share of right pixels
    rises as often and as far as it falls; images without a change are left out, 1 where none has changed.
    """
    change = (after - before).numpy(force=True)
    return float(wilcoxon(change).pvalue) if bool((change != 0).any()) else 1.0


def pixel_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """Of each image, the mean cross-entropy in nats of its counted pixels; 0 where none counts."""
    each = torch.nn.functional.cross_entropy(logits, masks, ignore_index=IGNORED, reduction="none")
    return each.flatten(1).sum(dim=1) / (masks != IGNORED).flatten(1).sum(dim=1).clamp(min=1)


def check_maps(logits: Tensor, masks: Tensor) -> None:
    """QexploreError where the masks are not those of such logits."""
    if logits.dim() != 4 or logits.shape[2:] != masks.shape[1:]:
        raise QexploreError(
            f"The labels are masks of shape {list(masks.shape)} and the network gives {list(logits.shape)}: masks need "
            "logits [images, classes, H, W] of the same height and width."
        )
    greatest = int(torch.where(masks == IGNORED, 0, masks).max()) if masks.numel() else 0
    if greatest >= logits.shape[1]:
        raise QexploreError(
            f"The masks hold class {greatest}, but the network tells {logits.shape[1]} classes apart (0 to "
            f"{logits.shape[1] - 1}, and 255 for pixels that do not count)."
        )


def _mean_iou(counts: Floats) -> Floats:
    """counts: [resamples, 3, classes]."""
    both, told, mask = np.moveaxis(counts, 1, 0)
    union = told + mask - both
    present = union > 0
    each = np.where(present, both / np.maximum(union, 1), 0.0)
    return np.asarray(each.sum(axis=1) / np.maximum(present.sum(axis=1), 1))
