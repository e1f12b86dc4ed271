"""key=value words of the command line."""

from __future__ import annotations

from collections.abc import Iterable

from qexplore.errors import QexploreError


def pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """The words that stand after `option` as a dictionary; QexploreError for one without a key or an equals sign."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not (equals and key and value):
            raise QexploreError(f"{option} takes key=value, not {word!r}.")
        if key in found:
            raise QexploreError(f"{option} gives {key!r} twice.")
        found[key] = value
    return found
