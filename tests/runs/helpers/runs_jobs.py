"""Kinds of run for the tests: each misbehaves in one way, none needs torch."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from qexplore.errors import QexploreError
from qexplore.places import roots
from qexplore.report import Report
from qexplore.runs.jobs import JOBS


@JOBS.register("count")
def count(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Counts to n, a step each `pause` seconds, and keeps what it counted."""
    for step in report.track(range(spec.get("n", 3)), "counting"):
        report.event("step", step=step)
        time.sleep(spec.get("pause", 0.0))
    (folder / "counted.txt").write_text(str(spec.get("n", 3)))
    return {"counted": spec.get("n", 3), "threads": os.environ["OMP_NUM_THREADS"], "nice": os.nice(0)}


@JOBS.register("look")
def look(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Tells which folders' images it may use."""
    return {"roots": [str(root) for root in roots()]}


@JOBS.register("flood")
def flood(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Reports far more progress than anyone wants to read."""
    for step in range(1, spec["n"] + 1):
        if spec.get("live"):
            report.event("training", at=step)
            if step % 100 == 0:
                report.event("epoch", at=step)
        else:
            report.progress(step, spec["n"], "flooding")
    return {}


@JOBS.register("train")
def train(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Adds 1, 2, 3, … up to `n`, keeps its sum each `every` steps and when it is stopped, as a training does."""
    import torch

    from qexplore.runs.checkpoints import FileKeeper

    keeper = FileKeeper(folder, report)
    tensors, facts = keeper.load("0-train") or ({"sum": torch.tensor(0)}, {"at": 0})
    total, at = tensors["sum"].clone(), facts["at"]
    report.event("training-started", at=at, steps=spec["n"])
    try:
        while at < spec["n"]:
            at += 1
            total += at
            if at % spec["every"] == 0:
                keeper.save("0-train", ({"sum": total}, {"at": at}))
                report.event("epoch", at=at)
            report.event("training", at=at, loss=1 / at)
            time.sleep(spec.get("pause", 0.0))
    except BaseException:
        keeper.save("0-train", ({"sum": total}, {"at": at}))
        raise
    return {"sum": int(total)}


@JOBS.register("stubborn")
def stubborn(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Never looks up, and has a child that does not either."""
    report.event("step", name="before the loop")
    child = os.fork()
    if child:
        (folder / "child.pid").write_text(str(child))
    while True:
        time.sleep(0.01)


@JOBS.register("break")
def break_(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Ends in the way that the spec names."""
    report.event("step", name="last words")
    match spec["how"]:
        case "words":
            raise QexploreError("There is no task 'mars'; known: digits.")
        case "bug":
            raise KeyError("missing\nand more")
        case "swallow":
            while True:
                try:
                    report.event("step", name="again")
                    time.sleep(0.02)
                except Exception:
                    continue
        case "exit":
            sys.exit(3)
        case "hard exit":
            sys.stderr.write("the last line\n")
            os._exit(7)
        case "silent exit":
            os._exit(0)
        case "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(10)
        case "memory":
            bytearray(4 * 2**30)
        case "set":
            return {"what": {1}}
        case "linger":
            import threading

            threading.Thread(target=time.sleep, args=(60,)).start()
            return {}
    raise AssertionError(spec["how"])


@JOBS.register("file")
def file(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Files a longer result of its own."""
    (folder / "result.json").write_text('{"long": true}')
    return {"long": False, "loss": float("nan")}
