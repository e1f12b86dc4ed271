"""What can be wrong with a task's data or its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from qexplore.errors import QexploreError


class BadData(QexploreError):
    """Images or labels that no task can use."""


class DataAbsent(QexploreError):
    """Images that a task needs and that are not on this machine, or not where anybody has said."""


class CheckpointError(QexploreError):
    """A file of weights that does not belong to the network, or that is none at all.

    missing, unexpected, misshapen: all names of entries that the file lacks, that the network does not know, and that
    have another shape or kind of number.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        misshapen: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.missing, self.unexpected, self.misshapen = tuple(missing), tuple(unexpected), tuple(misshapen)
