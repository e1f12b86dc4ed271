"""The base of every error that a door (app, command line, notebook) prints as it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 30  # names: a network can have hundreds of sites
_LONGEST = 60  # letters of a foreign name


def foreign(name: object) -> str:
    """A name out of somebody's file for a sentence: on one line, printable, the middle of a long one left out.

    What steers a terminal or is no text at all (half a surrogate pair) is written as Python escapes it.
    """
    text = _cut(str(name))
    return _cut("".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text))


def _cut(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"


class QexploreError(ValueError):
    """Bad input, told in one sentence that names the input and the way out."""


class WorkFailed(QexploreError):
    """The words were right and the work still came to nothing; the sentence names a way out."""


class UnknownName(QexploreError):
    """A name that no registry knows, with the nearest ones that it does."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        names = list(known)
        near = difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        more = [f"{len(names) - LISTED} more"] if len(names) > LISTED else []
        listed = ", ".join([*names[:LISTED], *more]) or "none"
        super().__init__(f"There is no {what} {str(name)!r}; {hint}known: {listed}.")
        self.nearest = tuple(near)
