"""Images in any form come out the same: in order, whole, and checked."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
)

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.zoo import BadData


def images(count: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(count * 4, dtype=torch.float32).view(count, 1, 2, 2)
    return x, torch.arange(count) % 10


class Stream(IterableDataset):
    def __init__(self, count: int) -> None:
        self.pairs = TensorDataset(*images(count))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.pairs[i] for i in range(len(self.pairs)))


FORMS = {
    "tensors": lambda x, y: (x, y),
    "list of tensors": lambda x, y: [x, y],
    "arrays": lambda x, y: (x.double().numpy(), y.numpy()),
    "labels in a list": lambda x, y: (x, y.tolist()),
    "data set": lambda x, y: TensorDataset(x, y),
    "list of pairs": lambda x, y: [(a, int(b)) for a, b in zip(x, y)],
    "stream": lambda x, y: Stream(len(x)),
    "loader": lambda x, y: DataLoader(TensorDataset(x, y), batch_size=3),
    "shuffling loader": lambda x, y: DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True),
    "dropping loader": lambda x, y: DataLoader(TensorDataset(x, y), batch_size=4, drop_last=True),
    "unbatched loader": lambda x, y: DataLoader(TensorDataset(x[:, None], y[:, None]), batch_size=None),
    "loader of a stream": lambda x, y: DataLoader(Stream(len(x)), batch_size=3),
    "subset loader": lambda x, y: DataLoader(
        TensorDataset(torch.cat([x, x + 1]), torch.cat([y, y])), sampler=SubsetRandomSampler(list(range(len(x))))
    ),
}


@pytest.mark.parametrize("form", FORMS)
@given(count=st.integers(1, 23), size=st.integers(1, 25), limit=st.none() | st.integers(1, 30))
def test_every_form_gives_the_same_batches(form: str, count: int, size: int, limit: int | None) -> None:
    x, y = images(count)
    data = qx.Data(evaluation=FORMS[form](x, y))
    expected = min(count, limit or count)
    got = list(data.batches("evaluation", size=size, limit=limit))
    assert [len(b) for _, b in got] == [size] * (expected // size) + [expected % size] * (expected % size > 0)
    assert torch.equal(torch.cat([a for a, _ in got]), x[:expected])
    assert torch.equal(torch.cat([b for _, b in got]), y[:expected])
    assert data.count("evaluation") == count
    assert data.tensors("evaluation", limit)[0].dtype == torch.float32


def test_reading_leaves_the_global_generator_as_it_was() -> None:
    data = qx.Data(train=DataLoader(TensorDataset(*images(9)), shuffle=True), calibration=TensorDataset(*images(9)))
    before = torch.get_rng_state()
    data.tensors("train")
    data.tensors("calibration")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sampler_of_the_users_own_decides_what_comes() -> None:
    chosen = RandomSampler(TensorDataset(*images(9)), num_samples=4, generator=torch.Generator())
    data = qx.Data(evaluation=DataLoader(TensorDataset(*images(9)), batch_size=3, sampler=chosen))
    assert data.count("evaluation") == 4


def test_a_limit_reads_no_more_than_it_must() -> None:
    class Counting(Dataset):
        read = 0

        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            self.read += 1
            return torch.zeros(1, 2, 2), 0

    counting = Counting()
    qx.Data(evaluation=counting).tensors("evaluation", limit=10)
    assert counting.read == 10


def test_a_loaders_collate_function_is_kept() -> None:
    def doubled(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return 2 * torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])

    data = qx.Data(evaluation=DataLoader(TensorDataset(*images(5)), collate_fn=doubled))
    assert torch.equal(data.tensors("evaluation")[0], 2 * images(5)[0])


X, Y = images(6)
HOLED = X.index_fill(0, torch.tensor(2), float("nan"))
PARTS = {
    "zero images": ((X[:0], Y[:0]), "The evaluation part has zero images"),
    "zero images in a data set": (TensorDataset(X[:0], Y[:0]), "The evaluation part has zero images"),
    "zero images in a loader": (DataLoader(TensorDataset(X[:0], Y[:0])), "The evaluation part has zero images"),
    "zero images in a stream": (Stream(0), "The evaluation part has zero images"),
    "fewer labels": ((X, Y[:5]), r"images have shape \[6, 1, 2, 2\] and the labels \[5\]"),
    "one-hot labels": ((X, torch.eye(6, dtype=torch.int64)), r"the labels \[6, 6\]"),
    "a single image": ((X[0, 0, 0], Y[:2]), r"images have shape \[2\]"),
    "labels with a point": ((X, Y.float()), r"labels are torch\.float32; give one whole class number"),
    "labels below zero": ((X, Y - 1), "labels hold -1; class numbers start at 0"),
    "bytes": ((X.byte(), Y), r"images are torch\.uint8; give floating-point images"),
    "NaN": ((HOLED, Y), "images hold NaN or infinite values"),
    "NaN in a data set": (TensorDataset(HOLED, Y), "images hold NaN or infinite values"),
    "words": ((np.array(["a"]), Y), r"is no pair of tensors \(X, y\)"),
    "a name": ("digits", "is 'str'; give a Dataset, a DataLoader or tensors"),
    "a number": (7, "is 'int'; give a Dataset"),
    "a dictionary": ({"x": X}, "is 'dict'; give a Dataset"),
    "a generator": ((pair for pair in [(X, Y)]), "is 'generator'; give a Dataset"),
    "images without labels": (list(X), r"must give pairs \(image, label\), not 'Tensor'"),
    "triples": (TensorDataset(X, Y, Y), r"must give pairs \(image, label\)"),
    "two shapes": ([(X[0], 0), (X[0, :, :1], 1)], "evaluation images differ in shape"),
    "two shapes in two batches": (
        DataLoader([(X[:1], Y[:1]), (X[:1, :, :1], Y[:1])], batch_size=None),
        "differ in shape",
    ),
    "no tensors": ([(object(), 0)], "does not give tensors"),
}


@pytest.mark.parametrize("case", PARTS)
def test_images_that_no_task_can_use_get_one_sentence(case: str) -> None:
    part, sentence = PARTS[case]
    with pytest.raises(BadData, match=sentence) as told:
        qx.Data(evaluation=part).tensors("evaluation")
    assert "\n" not in str(told.value)


def test_a_worker_process_of_a_loader_tells_the_same_sentence() -> None:
    part = DataLoader([(X[0], 0), (X[0, :, :1], 1)], batch_size=2, num_workers=1)
    with pytest.raises(BadData, match="evaluation images differ in shape") as told:
        qx.Data(evaluation=part).tensors("evaluation")
    assert "\n" not in str(told.value)


def test_a_missing_or_unknown_part_is_named() -> None:
    data = qx.Data(evaluation=(X, Y))
    with pytest.raises(BadData, match=r"no calibration images; give calibration=… to qx\.Data"):
        data.batches("calibration")
    with pytest.raises(UnknownName, match="no data part 'evaluate'; did you mean 'evaluation'"):
        data.count("evaluate")


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, None, "8"])
def test_sizes_and_limits_are_whole_numbers_above_zero(wrong: object) -> None:
    data = qx.Data(evaluation=(X, Y))
    with pytest.raises(QexploreError, match="batch size is"):
        data.batches("evaluation", size=wrong)  # type: ignore[arg-type]
    if wrong is not None:
        with pytest.raises(QexploreError, match="batch limit is"):
            data.batches("evaluation", limit=wrong)  # type: ignore[arg-type]


def test_numpy_integers_are_whole_numbers_too() -> None:
    assert len(qx.Data(evaluation=(X, Y)).tensors("evaluation", limit=np.int64(2))[0]) == 2
