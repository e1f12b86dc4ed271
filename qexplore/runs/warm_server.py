"""The warm process: answers one request a line, on pipes. `python -m qexplore.runs.warm_server MODULE`.

The module's `answer(request: dict) -> dict` does the work and keeps what is worth keeping between two requests.
Only this module writes to the pipe: whatever else prints, native libraries included, lands on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, TextIO

from qexplore.errors import QexploreError
from qexplore.runs.documents import dumps

NICENESS = 3  # below the app, above the workers
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def serve(answer: Answer, requests: queue.Queue[str], replies: TextIO) -> None:
    """Answers for ever; the thread that reads ends the process."""
    while True:
        _say(replies, _reply(answer, json.loads(requests.get())["request"]))


def _reply(answer: Answer, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"answer": json.loads(dumps(answer(request)))}
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
