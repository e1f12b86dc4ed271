"""The process of one run: claims it, does its job, writes how it ended. `python -m qexplore.runs.worker ROOT ID`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

from qexplore.errors import QexploreError
from qexplore.plain import plain
from qexplore.report import Report
from qexplore.runs import jobs
from qexplore.runs.deaths import UNWRITTEN, wish
from qexplore.runs.errors import Cancelled, RunOutdated
from qexplore.runs.files import replacing
from qexplore.runs.process import identity
from qexplore.runs.records import Records
from qexplore.runs.reporter import Reporter
from qexplore.runs.run import Run

NICENESS = 10
OOM_SCORE = "500"  # where memory runs out, the kernel shall take the worker, not the app


def work(records: Records, run_id: str, modules: list[str]) -> None:
    """Claims the run and carries it out; does nothing where another process has it or it was cancelled."""
    if not records.claim(run_id, os.getpid(), identity(os.getpid())):
        return
    run = records.get(run_id)
    reporter = Reporter(records, run_id)
    try:
        result = _result(run, records.root / "runs" / run_id, reporter, modules)
        reporter.flush()
        records.finish(run_id, "done", result=result, pid=os.getpid())
    except Cancelled:
        _last_words(reporter)
        state = wish(records.get(run_id))
        records.finish(run_id, state, error="Cancelled." if state == "cancelled" else None, pid=os.getpid())
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: a run's end is always told
        _last_words(reporter, error)
        records.finish(run_id, "failed", error=_sentence(error), pid=os.getpid())


def _result(run: Run, folder: Path, reporter: Reporter, modules: list[str]) -> dict[str, Any]:
    if run.outdated:  # it may hold checkpoints of the task before
        raise RunOutdated(run.id, run.task, "begun")
    if run.memory_mb is not None:
        with contextlib.suppress(ValueError, OSError):  # macOS takes no such limit
            resource.setrlimit(resource.RLIMIT_AS, (run.memory_mb * 2**20, run.memory_mb * 2**20))
    jobs.load(modules)
    result: dict[str, Any] = plain(jobs.JOBS.get(run.kind)(run.spec, Report(reporter), folder))
    if not (folder / "result.json").exists():  # a job may file a longer one itself
        with replacing(folder / "result.json") as draft:
            draft.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def _last_words(reporter: Reporter, error: BaseException | None = None) -> None:
    """Writes what still waits and the traceback, where that is possible; the outcome matters more."""
    with contextlib.suppress(Exception):
        reporter.flush()
    if error is not None:
        with contextlib.suppress(OSError):
            traceback.print_exception(error)


def _sentence(error: BaseException) -> str:
    if isinstance(error, QexploreError):
        return str(error)
    first = str(error).strip().split("\n")[0][:500].rstrip(".")
    told = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return f"The work failed with {told}; the traceback is in log.txt of the run."


def _step_back() -> None:
    """Gives way to the app, for the processor and where memory runs out."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 where the outcome is in the store, UNWRITTEN where the store could not take it."""
    parser = argparse.ArgumentParser(prog="python -m qexplore.runs.worker")
    parser.add_argument("root", type=Path)
    parser.add_argument("run")
    parser.add_argument("--jobs", action="append", metavar="MODULE")
    options = parser.parse_args(arguments)
    _step_back()
    try:
        work(Records(options.root), options.run, options.jobs or list(jobs.MODULES))
    except QexploreError as error:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{error}\n")
        return UNWRITTEN
    return 0


if __name__ == "__main__":
    ended = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # the outcome is written: no thread that a library left behind shall keep the next run waiting
