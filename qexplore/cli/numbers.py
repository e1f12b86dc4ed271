"""Words that are numbers: each is told by what it should be, and by what was given."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LONGEST = 40  # letters of what was given that are repeated


def whole(what: str) -> Callable[[str], int]:
    """Reads a whole number. what: what it is and an example, 'a port is a whole number, such as 8501'."""
    return _reader(what, int)


def real(what: str) -> Callable[[str], float]:
    """Reads a number. what: as of a whole one."""
    return _reader(what, float)


def widths(text: str) -> tuple[int, ...]:
    """Reads bit widths with commas between."""
    return _reader("bit widths are whole numbers with commas between, such as 2,4,8", _widths)(text)


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(","))


def _reader(what: str, read: Callable[[str], T]) -> Callable[[str], T]:
    def number(text: str) -> T:
        try:
            return read(text)
        except ValueError:
            raise ArgumentTypeError(f"{what}; not {text[:_LONGEST]!r}") from None

    return number
