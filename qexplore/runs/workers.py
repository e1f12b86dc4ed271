"""Worker processes as the supervisor sees them: its own children, and those that an earlier supervisor left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import qexplore
from qexplore.places import named_roots
from qexplore.runs.files import replacing
from qexplore.runs.process import alive
from qexplore.runs.run import Run

_ROOTS = "roots.json"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Worker(Protocol):
    """A process that works on a run."""

    @property
    def pid(self) -> int: ...

    def ended(self) -> bool:
        """Whether the process is gone."""

    @property
    def status(self) -> int | None:
        """How it ended: exit status, negative: minus the signal, None: nobody saw it."""


class Child:
    """A worker that this supervisor started, and whose exit status the kernel keeps for it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def status(self) -> int | None:
        return self._process.returncode


class Adopted:
    """A worker whose supervisor died; its end can be seen, its exit status cannot."""

    status = None

    def __init__(self, pid: int, start: str | None) -> None:
        self.pid, self._start = pid, start

    def ended(self) -> bool:
        return not alive(self.pid, self._start)


def start(root: Path, run: Run, modules: Sequence[str]) -> Child:
    """Starts the worker of a run in a session of its own, with its output in the run's log.txt."""
    folder = root / "runs" / run.id
    command = python("qexplore.runs.worker", str(root), run.id, *(f"--jobs={module}" for module in modules))
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=folder,
            env={**environment(run.threads), **_filed(folder), "QEXPLORE_HOME": str(root)},
        )
    return Child(process)


def file_roots(folder: Path) -> None:
    """Files with a run, in roots.json of its folder, which images this process may use beside those of the setting.

    The supervisor may have been started by another one, with other folders; no document of a run tells them.
    """
    with replacing(folder / _ROOTS) as draft:
        draft.write_text(json.dumps(list(map(str, named_roots()))) + "\n", encoding="utf-8")


def _filed(folder: Path) -> Mapping[str, str]:
    """The variable that names a run's folders; nothing for a run of before they were filed."""
    try:
        filed = json.loads((folder / _ROOTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {"QEXPLORE_DATA": os.pathsep.join(filed)}


def python(module: str, *arguments: str) -> list[str]:
    """A command that runs one of our modules: unbuffered, faults told, nothing imported from the present folder."""
    return [sys.executable, "-u", "-P", "-X", "faulthandler", "-m", module, *arguments]


def environment(threads: int | None = None) -> Mapping[str, str]:
    """This process's environment with our package importable and, where given, the number of threads."""
    here = str(Path(qexplore.__file__).resolve().parents[1])
    others = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    counts = {} if threads is None else dict.fromkeys(_THREADS, str(threads))
    return os.environ | counts | {"PYTHONPATH": os.pathsep.join([here, *others])}
