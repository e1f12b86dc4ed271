"""The base of every error that a door (app, command line, notebook) prints as it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 30  # names: a network can have hundreds of sites


class QexploreError(ValueError):
    """Bad input, told in one sentence that names the input and the way out."""


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
