"""The first images of each part of a task's data, for measurements that are many."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from qexplore.zoo import Data


class Few(Data):
    """`data` with at most `most` images a part, read as it reads them."""

    def __init__(self, data: Data, most: int) -> None:
        self.__dict__.update(vars(data))
        self._counts = {}
        self._data, self._most = data, most

    def batches(self, part: str, size: int = 128, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        return self._data.batches(part, size, self._most if limit is None else min(limit, self._most))

    def count(self, part: str) -> int:
        return min(self._data.count(part), self._most)

    def tensors(self, part: str, limit: int | None = None) -> tuple[Tensor, Tensor]:
        return self._data.tensors(part, self._most if limit is None else min(limit, self._most))
