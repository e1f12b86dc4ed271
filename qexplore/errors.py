"""The base of every error that a door (app, command line, notebook) prints as it stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QexploreError(ValueError):
    """Bad input, told in one sentence that names the input and the way out."""


class UnknownName(QexploreError):
    """A name that no registry knows, with the nearest ones that it does."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        names = list(known)
        near = difflib.get_close_matches(str(name).lower(), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
        super().__init__(f"There is no {what} {str(name)!r}; {hint}known: {', '.join(names) or 'none'}.")
        self.nearest = tuple(near)
