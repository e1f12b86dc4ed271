"""Why a worker ended without a word, told from what is left: its exit status, its log, the wish to stop."""

from __future__ import annotations

import signal
from pathlib import Path

from qexplore.runs.process import alive
from qexplore.runs.records import Records
from qexplore.runs.run import Run

UNWRITTEN = 74  # exit status of a worker that could not write its outcome (EX_IOERR)
UNSEEN = (
    "The worker process is gone and nobody saw it end (the computer, or the supervisor and the worker, were stopped); "
    "what it had reported is kept, and resuming starts it anew."
)


def outcome(run: Run, status: int | None, log: Path, forced_after: float | None) -> tuple[str, str]:
    """State and sentence for a run whose worker ended without a word.

    status: exit status, negative: minus the signal, None: nobody saw it.
    forced_after: seconds of grace after which the supervisor killed a run that should stop; None where it did not.
    """
    if forced_after is not None:
        way = f"did not stop by itself within {forced_after:g} s and was killed by signal 9"
        return wish(run), f"{wish(run).capitalize()}; the worker {way}."
    if run.stop_asked is not None:
        return wish(run), f"{wish(run).capitalize()}; the worker {_told(status, log)}."
    if status is None:
        return "lost", UNSEEN
    return "failed", f"The worker {_told(status, log)}."


def wish(run: Run) -> str:
    """The state in which a run ends that was asked to stop: the wish to cancel goes before the one to pause."""
    return "paused" if run.pause_asked is not None and run.cancel_asked is None else "cancelled"


def mark_lost(records: Records) -> None:
    """Ends the running runs whose process is gone. Only for whoever holds the supervisor's lock."""
    for run in records.active():
        if run.state == "running" and not alive(run.pid, run.pid_start):
            records.finish(run.id, "lost", error=UNSEEN, pid=run.pid)


def _told(status: int | None, log: Path) -> str:
    if status is None or status == 0:
        return "ended without a result"
    if status == -signal.SIGKILL:
        return "was killed by signal 9 (SIGKILL), probably because the memory ran out"
    if status < 0:
        return f"was killed by signal {-status} ({_signal_name(-status)})"
    if status == UNWRITTEN:
        return "could not write its result, probably because the disk was full"
    last = _last_line(log)
    return f"ended with exit status {status}" + (f"; the last line of its log is: {last}" if last else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unnamed"


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - 4096, 0))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:200].rstrip(".") for line in reversed(lines) if line.strip()), "")
