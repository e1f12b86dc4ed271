"""A child process that takes and gives JSON, one document a line, with a deadline for each reading."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class PipeClosed(Exception):
    """The process is gone."""


class Pipe:
    """A process that ends when this object goes; not safe for several threads at once."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path | None) -> None:
        with contextlib.ExitStack() as stack:
            errors = None if log is None else stack.enter_context(log.open("ab"))
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in the app's terminal is for the app
                env=environment,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, document: dict[str, Any]) -> None:
        """Raises PipeClosed where the process is gone."""
        data = memoryview(json.dumps(document).encode("ascii") + b"\n")
        try:
            while data:
                data = data[self._stdin.write(data) or 0 :]
        except OSError as error:
            raise PipeClosed from error

    def receive(self, until: float) -> dict[str, Any] | None:
        """The next document, or None where none has come at time.monotonic() `until`; PipeClosed after the last."""
        while b"\n" not in self._rest:
            if not self._readable(max(until - time.monotonic(), 0.0)):
                return None
            chunk = os.read(self._stdout.fileno(), 1 << 16)
            if not chunk:
                raise PipeClosed
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def _readable(self, seconds: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def end(self, grace: float = 1.0) -> int:
        """Closes the pipes, kills what does not end within `grace` seconds, and returns the exit status."""
        for stream in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(grace)
        self._process.kill()
        return self._process.wait()
