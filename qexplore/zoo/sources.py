"""Streams of image batches from what users hold: tensors, data sets, data loaders."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
)

from qexplore.zoo.errors import BadData

Batch = tuple[Tensor, Tensor]

# What torch says when images of several shapes meet in one batch: in this process, and in a worker of the loader.
_UNEQUAL = ("stack expects each tensor to be equal size", "resize storage that is not resizable")


def tensor_pair(part: object) -> bool:
    """Whether `part` is (X, y) as tensors or arrays, rather than a data set."""
    return isinstance(part, tuple | list) and len(part) == 2 and hasattr(part[0], "shape")


def pair(part: Any, name: str) -> Batch:
    """The tensors of (X, y), checked."""
    try:
        x, y = torch.as_tensor(part[0]), torch.as_tensor(part[1])
    except (TypeError, ValueError, RuntimeError) as problem:
        raise BadData(f"The {name} part is no pair of tensors (X, y): {_first_line(problem)}.") from None
    return checked(x.detach(), y.detach(), name)


def checked(x: Any, y: Any, part: str) -> Batch:
    """Images as float32 [N, …] and labels as int64 [N] or [N, H, W]; BadData where they are something else."""
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        raise BadData(f"The {part} part must give images and labels as tensors, not {_kind(x)} and {_kind(y)}.")
    if len(x.shape) > 0 and x.numel() == 0:
        raise BadData(f"The {part} part has zero images; give at least one.")
    if not x.is_floating_point():
        raise BadData(f"The {part} images are {x.dtype}; give floating-point images, for bytes X.float() / 255.")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise BadData(f"The {part} labels are {y.dtype}; give one whole class number for each image.")
    masks = y.dim() == 3 and x.dim() == 4 and y.shape[1:] == x.shape[2:]
    if x.dim() < 2 or not (y.dim() == 1 or masks) or len(x) != len(y):
        raise BadData(
            f"The {part} images have shape {list(x.shape)} and the labels {list(y.shape)}; "
            "give images [N, …] and one class number for each, [N], or for each of their pixels, [N, H, W]."
        )
    if not bool(torch.isfinite(x).all()):
        raise BadData(f"The {part} images hold NaN or infinite values; remove or repair them first.")
    if int(y.min()) < 0:
        raise BadData(f"The {part} labels hold {int(y.min())}; class numbers start at 0.")
    return x.float(), y.long()


def require_below(greatest: int, classes: int, what: str) -> None:
    """BadData where the `greatest` of the labels `what` is no output of a network with so many `classes`."""
    if greatest >= classes:
        raise BadData(f"{what[:1].upper()}{what[1:]} hold {greatest}; the network knows classes 0 to {classes - 1}.")


def require_several(least: int, greatest: int, what: str) -> None:
    """BadData where the labels `what` are all the same number."""
    if least == greatest:
        raise BadData(
            f"{what[:1].upper()}{what[1:]} hold one class only, {least}: nothing can be told apart; give images of at "
            "least two classes."
        )


def stream(part: Any, size: int, name: str) -> Iterator[Batch]:
    """Checked batches of about `size` images from a data set or a loader, in a fixed order where the part has one."""
    shape: torch.Size | None = None
    for item in _items(_loader(part, size), name):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise BadData(f"The {name} part must give pairs (image, label), not {_kind(item)}.")
        x, y = checked(item[0], item[1], name)
        shape = shape or x.shape[1:]
        if x.shape[1:] != shape:
            raise BadData(
                f"The {name} images differ in shape, {list(shape)} and {list(x.shape[1:])}; resize them to one."
            )
        yield x, y
    if shape is None:
        raise BadData(f"The {name} part has zero images; give at least one.")


def known_length(part: Any) -> int | None:
    """Number of images that `stream` will give, None where only counting tells."""
    source = plain_dataset(part) if isinstance(part, DataLoader) else part
    if source is None or isinstance(source, IterableDataset):
        return None
    return len(cast(Sized, source))


def regroup(batches: Iterator[Batch], size: int, limit: int | None) -> Iterator[Batch]:
    """The same images in batches of exactly `size` (the last may be smaller), at most `limit` of them."""
    held: list[Batch] = []
    count, left = 0, limit
    for x, y in batches:
        if left is not None:
            x, y = x[:left], y[:left]
            left -= len(x)
        held.append((x, y))
        count += len(x)
        while count >= size:
            x, y = joined(held)
            yield x[:size], y[:size]
            held, count = [(x[size:], y[size:])], count - size
        if left == 0:
            break
    if count:
        yield joined(held)


def joined(batches: list[Batch]) -> Batch:
    """All batches as one."""
    if len(batches) == 1:
        return batches[0]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def _loader(part: Any, size: int) -> DataLoader[Any]:
    """A loader that gives the part's images in order, without drawing from torch's global generator."""
    if not isinstance(part, DataLoader):
        return DataLoader(part, batch_size=size, generator=torch.Generator())
    dataset = plain_dataset(part)
    if dataset is None:
        return part
    return DataLoader(
        dataset,
        batch_size=size,
        num_workers=part.num_workers,
        collate_fn=part.collate_fn,
        worker_init_fn=part.worker_init_fn,
        multiprocessing_context=part.multiprocessing_context,
        timeout=part.timeout,
        generator=torch.Generator(),
    )


def plain_dataset(loader: DataLoader[Any]) -> Dataset[Any] | None:
    """The images of a loader in order; None where a sampler of the user's own decides what comes."""
    dataset, sampler = loader.dataset, loader.sampler
    if type(loader.batch_sampler) is not BatchSampler or isinstance(dataset, IterableDataset):
        return None
    if isinstance(sampler, SubsetRandomSampler):
        return Subset(dataset, sorted(sampler.indices))
    if type(sampler) is SequentialSampler:
        return dataset
    if type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(dataset):  # type: ignore[arg-type]
        return dataset
    return None


def _items(loader: DataLoader[Any], name: str) -> Iterator[Any]:
    """What the loader gives; where its images cannot be stacked, that is the user's to mend, and BadData says how."""
    items = iter(loader)
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except (RuntimeError, TypeError) as problem:
            if any(words in str(problem) for words in _UNEQUAL):
                raise BadData(f"The {name} images differ in shape; resize them all to one.") from None
            if "default_collate: batch must contain" in str(problem):
                raise BadData(f"The {name} part does not give tensors; convert its images with ToTensor().") from None
            raise
        yield item


def _first_line(problem: Exception) -> str:
    return str(problem).split("\n")[0].rstrip(".")


def _kind(value: object) -> str:
    return f"'{type(value).__name__}'"
