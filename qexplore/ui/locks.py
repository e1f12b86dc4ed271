"""Hand-made bits as a short text: '3:8 17:2' keeps site 3 at 8 bits and site 17 at 2. It lives in the URL."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from qexplore.errors import QexploreError


class BadLock(QexploreError):
    """A text that names no site and bits."""


def _small(text: str) -> bool:
    """Whether a text is a whole number that Python reads: thousands of digits it refuses."""
    return text.isdecimal() and len(text) < 10


def read_locks(text: str, sites: pd.DataFrame) -> dict[str, int]:
    """Site → bits; sites by index. BadLock names the part that cannot be read."""
    names = dict(zip(sites["index"].astype(int), sites["site"], strict=True))
    locked = {}
    for part in text.replace(",", " ").split():
        index, _, bits = part.partition(":")
        if not (_small(index) and _small(bits) and 1 <= int(bits) <= 16):
            raise BadLock(f"{part[:60]!r} is not a lock; write index:bits, such as '3:8 17:2'.")
        if int(index) not in names:
            raise BadLock(f"There is no site {index}; indices go from {min(names)} to {max(names)}.")
        locked[names[int(index)]] = int(bits)
    return locked


def write_locks(locked: Mapping[str, int], sites: pd.DataFrame) -> str:
    """The text of locks, in network order."""
    index = dict(zip(sites["site"], sites["index"].astype(int), strict=True))
    return " ".join(f"{index[site]}:{bits}" for site, bits in sorted(locked.items(), key=lambda lock: index[lock[0]]))
