"""Single images of a part by their numbers, for training, which reads them in an order of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from qexplore.errors import QexploreError
from qexplore.zoo.errors import BadData
from qexplore.zoo.sources import Batch, plain_dataset, stream


def numbers_of(index: Sequence[int] | Tensor, count: int, part: str) -> Tensor:
    """`index` as int64 [k]; QexploreError unless it holds numbers of images from 0 to count - 1, one at least."""
    numbers = torch.as_tensor(index)
    if numbers.dim() != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool or len(numbers) == 0:
        raise QexploreError(f"Images of the {part} part are asked for by a list of whole numbers, not {index!r:.80}.")
    least, greatest = (int(end) for end in numbers.aminmax())
    if least < 0 or greatest >= count:
        wrong = least if least < 0 else greatest
        raise QexploreError(f"The {part} part has no image {wrong}; its {count} images have numbers 0 to {count - 1}.")
    return numbers.long()


def gathered(part: Any, numbers: Tensor, name: str) -> Batch:
    """The images `numbers` [k] of a data set, or of a loader that reads one, as that loader would give them.

    BadData where only a stream or a sampler of the user's own knows what comes.
    """
    dataset = plain_dataset(part) if isinstance(part, DataLoader) else part
    if dataset is None or isinstance(dataset, IterableDataset):
        raise BadData(
            f"The {name} images come as a stream, in an order of their own; training shuffles them, "
            "so give a Dataset with __getitem__ and __len__, or tensors (X, y)."
        )
    collate = part.collate_fn if isinstance(part, DataLoader) else None
    chosen = Subset(dataset, numbers.tolist())
    return next(stream(DataLoader(chosen, batch_size=len(numbers), collate_fn=collate), len(numbers), name))
