"""What can be wrong with a home of runs, each in one sentence that a door prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qexplore.errors import QexploreError


class HomeUnusable(QexploreError):
    """The folder that QEXPLORE_HOME names cannot hold runs."""

    def __init__(self, root: Path, why: str) -> None:
        super().__init__(
            f"The home of the runs, {root}, cannot be used: {why}; "
            "set QEXPLORE_HOME to a folder that you can write to and that has room."
        )


class StoreTooNew(QexploreError):
    """The database was written by a newer qexplore, which may mean other things by it."""

    def __init__(self, file: Path, version: int, known: int) -> None:
        super().__init__(
            f"{file} was written by a newer qexplore (its format is {version}, this one knows {known}); "
            "update qexplore, or set QEXPLORE_HOME to another folder."
        )


class UnknownRun(QexploreError):
    """An id that no run has."""

    def __init__(self, run_id: object, latest: Iterable[str] = ()) -> None:
        shown = repr(run_id) if len(repr(run_id)) <= 80 else repr(run_id)[:80] + "…"
        newest = ", ".join(latest)
        super().__init__(
            f"There is no run {shown}; " + (f"the latest are {newest}." if newest else "none is stored yet.")
        )


class RunActive(QexploreError):
    """Something that only a finished run allows was asked of one that waits or works."""

    def __init__(self, run_id: str, state: str, verb: str) -> None:
        super().__init__(f"Run {run_id} is {state} and cannot be {verb}; cancel it first or wait for its end.")


class RunEnded(QexploreError):
    """Something that only a run that waits or works allows was asked of one that has ended."""

    def __init__(self, run_id: str, state: str, verb: str) -> None:
        super().__init__(
            f"Run {run_id} is {state} and cannot be {verb}: only a run that waits or works can; "
            "`qexplore runs list` tells the state of each."
        )


class RunDone(QexploreError):
    """A run was to be resumed that came to its end."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run {run_id} is done and has nothing left to resume: repeat it to start it anew.")


class RunOutdated(QexploreError):
    """A run was to be begun or resumed whose task is another one by now."""

    def __init__(self, run_id: str, task: str | None, verb: str) -> None:
        super().__init__(
            f"Run {run_id} cannot be {verb}: the task {task!r} was removed and added anew since it was asked for; "
            "repeat it for the present one."
        )


class RunCarriedOn(QexploreError):
    """A run was to be resumed from which another one went on already."""

    def __init__(self, run_id: str, after: str, state: str) -> None:
        waiting = {"queued": "wait for its end", "running": "wait for its end", "done": "look at that one"}
        super().__init__(
            f"Run {run_id} cannot be resumed: run {after} went on from it and is {state}; "
            f"{waiting.get(state, 'resume that one')}, or repeat {run_id} from its start."
        )


class Cancelled(BaseException):
    """The user asked to stop, for good or for a pause; no Exception, so that `except Exception` lets it pass."""
