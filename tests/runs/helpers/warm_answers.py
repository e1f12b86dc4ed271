"""A warm answerer for the tests, with bad manners on request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

from qexplore.errors import QexploreError
from qexplore.report import Report

COUNT = {"asked": 0}


def answer(request: dict[str, Any], report: Report) -> dict[str, Any]:
    COUNT["asked"] += 1
    match request.get("do", "echo"):
        case "echo":
            return {"said": request.get("say"), "pid": os.getpid(), "asked": COUNT["asked"], "nice": os.nice(0)}
        case "print":
            print('{"answer": {"said": "a print is no answer"}}')
            os.write(1, b'{"answer": {"said": "nor is a native one"}}\n')
            subprocess.run([sys.executable, "-c", "import sys; print(sys.stdin.read())"], check=True)
            return {"said": "true"}
        case "sleep":
            time.sleep(request["seconds"])
            return {"said": "slept"}
        case "work":
            for _ in report.track(range(round(request["seconds"] / 0.02)), "working"):
                time.sleep(0.02)
            time.sleep(request.get("stuck", 0.0))
            return {"said": "worked", "pid": os.getpid()}
        case "refuse":
            raise QexploreError("There is no site 'x'; known: stem.")
        case "fail":
            raise ZeroDivisionError("nothing\nto divide")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "odd":
            return {"said": object()}
        case "nan":
            return {"said": float("nan")}
        case "large":
            return {"said": "x" * request["size"]}
    raise AssertionError(request)
