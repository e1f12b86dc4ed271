"""Keeps what a native library prints out of standard output, which may hold a JSON document."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()
_inside = 0
_kept: int | None = None


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Sends file descriptor 1 to nowhere for the length of a block; blocks of several threads may overlap.

    HiGHS prints with C's own buffer, past sys.stdout: the buffer is emptied before the descriptor comes back. What
    other threads write to the descriptor meanwhile is lost as well.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _inside, _kept
    with _LOCK:
        _inside += 1
        if _inside > 1:
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no standard output at all: nothing to keep
            sys.stdout.flush()
            _flush_c()
            _kept = os.dup(1)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)


def _leave() -> None:
    global _inside, _kept
    with _LOCK:
        _inside -= 1
        if _inside == 0 and _kept is not None:
            _flush_c()
            os.dup2(_kept, 1)
            os.close(_kept)
            _kept = None


def _flush_c() -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # where there is no C library to ask, nothing is done
        ctypes.CDLL(None).fflush(None)
