"""Methods are functions found by name: one registry for each kind of method."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from qexplore.errors import UnknownName

T = TypeVar("T")


def key_of(name: str) -> str:
    """What two ways of writing one name have in common."""
    return "".join(c for c in name.lower() if c not in "-_ ")


class Registry(Generic[T]):
    """Names to entries, in the order of registration; 'min-max', 'min_max' and 'MinMax' are one name."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, tuple[str, T]] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files an entry under `name`; a name that is taken raises ValueError."""

        def file(entry: T) -> T:
            if key_of(name) in self._entries:
                raise ValueError(f"The {self.what} {name!r} is registered already.")
            self._entries[key_of(name)] = (name, entry)
            return entry

        return file

    def get(self, name: str) -> T:
        """The entry called `name`; UnknownName with the nearest names where there is none."""
        return self._find(name)[1]

    def canonical(self, name: str) -> str:
        """The name as it was registered."""
        return self._find(name)[0]

    def summary(self, name: str) -> str:
        """First line of the entry's docstring."""
        return (inspect.getdoc(self.get(name)) or "").split("\n")[0]

    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._entries.values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and key_of(name) in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._entries)

    def _find(self, name: str) -> tuple[str, T]:
        if name not in self:
            raise UnknownName(self.what, name, self.names())
        return self._entries[key_of(name)]
