"""key=value words, as they stand on the command line."""

from __future__ import annotations

import shlex
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


def words_of(text: str) -> list[str]:
    """The words of a line, as a shell takes them apart; QexploreError for a quotation without an end."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise QexploreError(f"{text!r} cannot be taken apart ({error}): close the quotation.") from error
