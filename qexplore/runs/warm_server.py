"""The warm process: answers one request a line, on pipes. `python -m qexplore.runs.warm_server MODULE`.

The module's `answer(request: dict, report: Report) -> dict` does the work and keeps what is worth keeping between two
requests; whatever it reports is a sign of life, without which a long answer would be taken for one that never comes.
Only this module writes to the pipe: whatever else prints, native libraries included, lands on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import queue
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from qexplore.errors import QexploreError
from qexplore.report import Event, Report
from qexplore.runs.documents import dumps

NICENESS = 3  # below the app, above the workers
SIGN_SECONDS = 0.5  # between two signs of life
Answer = Callable[[dict[str, Any], Report], dict[str, Any]]


class Signs:
    """The callback of a Report of which the asker hears nothing but that the work goes on."""

    def __init__(self, replies: TextIO) -> None:
        self._replies, self._told = replies, float("-inf")

    def __call__(self, event: Event) -> None:
        if time.monotonic() - self._told >= SIGN_SECONDS and self._has_room():
            self._told = time.monotonic()
            _say(self._replies, {"alive": True})

    def _has_room(self) -> bool:
        """Whether a line can be written at once: where nobody reads, the pipe fills, and the work would stand still."""
        return bool(select.select([], [self._replies], [], 0.0)[1])


def serve(answer: Answer, requests: queue.Queue[str], replies: TextIO) -> None:
    """Answers for ever; the thread that reads ends the process."""
    report = Report(Signs(replies))
    while True:
        _say(replies, _reply(answer, json.loads(requests.get())["request"], report))


def _reply(answer: Answer, request: dict[str, Any], report: Report) -> dict[str, Any]:
    try:
        return {"answer": json.loads(dumps(answer(request, report)))}
    except QexploreError as error:
        return {"refused": str(error)}
    except Exception as error:  # a failed answer must not end the process that other questions need
        traceback.print_exc()
        first = str(error).strip().split("\n")[0][:300].rstrip(".")
        return {"failed": f"{type(error).__name__}: {first}" if first else type(error).__name__}


def _say(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(dumps(message) + "\n")
    replies.flush()


def _read(pipe: TextIO, requests: queue.Queue[str]) -> None:
    for line in pipe:
        requests.put(line)
    os._exit(0)  # the app is gone, and nobody would read an answer that is still being computed


def _pipes() -> tuple[TextIO, TextIO]:
    """The two pipes on descriptors of their own; 0 and 1 become harmless for everything else in this process."""
    requests, replies = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 where the asker went away, 1 where the module cannot be imported."""
    parser = argparse.ArgumentParser(prog="python -m qexplore.runs.warm_server")
    parser.add_argument("module")
    name = parser.parse_args(arguments).module
    pipe, replies = _pipes()
    os.nice(NICENESS)
    requests: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(pipe, requests), daemon=True).start()
    try:
        answer: Answer = importlib.import_module(name).answer
    except Exception as error:
        traceback.print_exc()
        _say(replies, {"broken": f"{type(error).__name__}: {error}"})
        return 1
    _say(replies, {"ready": True})
    serve(answer, requests, replies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
