"""What can be wrong with a task's data or its checkpoint."""

from __future__ import annotations

from qexplore.errors import QexploreError


class BadData(QexploreError):
    """Images or labels that no task can use."""


class CheckpointError(QexploreError):
    """A file of weights that does not belong to the network, or that is none at all."""
