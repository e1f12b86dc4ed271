"""Results that can be found again, up to a bound: what has not been asked for longest goes first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
BOUND = 16 << 20  # bytes: all of a small network at every number of bits; of a large one what is at work


class Kept(dict[K, V]):
    """Values up to `bound` bytes in all, and always the newest; `size` tells the bytes of one."""

    def __init__(self, size: Callable[[V], int], bound: int = BOUND) -> None:
        super().__init__()
        self._size, self._bound, self._held = size, bound, 0

    def __getitem__(self, key: K) -> V:
        value = super().__getitem__(key)
        super().__delitem__(key)
        super().__setitem__(key, value)  # the last in order is the newest
        return value

    def __setitem__(self, key: K, value: V) -> None:
        if key in self:
            del self[key]
        self._held += self._size(value)
        super().__setitem__(key, value)
        while self._held > self._bound and len(self) > 1:
            del self[next(iter(self))]

    def __delitem__(self, key: K) -> None:
        self._held -= self._size(super().__getitem__(key))
        super().__delitem__(key)

    def update(self, others: Mapping[K, V]) -> None:  # type: ignore[override]
        """Takes in `others`, the last of them as the newest."""
        for key, value in others.items():
            self[key] = value

    def clear(self) -> None:
        super().clear()
        self._held = 0
