"""Who a process is: its pid and the moment it started, since the kernel gives pids out again."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import cache
from pathlib import Path

_PROC = Path("/proc")
_GONE = ("Z", "X")  # a zombie only waits for its parent to look


def identity(pid: int) -> str | None:
    """When process `pid` started, in words that no other process of this pid will ever have; None where it is gone."""
    if not (_PROC / "self" / "stat").exists():
        return _identity_by_ps(pid)
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = text.rpartition(")")[2].split()  # the name may hold blanks and brackets
    state, ticks = after_name[0], after_name[19]
    return None if state in _GONE else f"{_boot()}:{ticks}"


def alive(pid: int | None, start: str | None) -> bool:
    """Whether the very process that started then still works."""
    return pid is not None and start is not None and identity(pid) == start


def kill_group(pid: int) -> None:
    """SIGKILL to the group that process `pid` leads, its own children included."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left; macOS says "not permitted" of zombies


@cache
def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _identity_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(maxsplit=1)
    return None if len(words) < 2 or words[0][0] in _GONE else words[1].strip()
