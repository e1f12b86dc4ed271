"""What every test has: a home of its own, and one thread, so that figures and times do not hang on the machine."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before the first import of numpy or torch; worker processes inherit it
# Tests are collected without a user's own tasks.
os.environ["QEXPLORE_HOME"] = tempfile.mkdtemp(prefix="qexplore-tests-")
atexit.register(shutil.rmtree, os.environ["QEXPLORE_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that QEXPLORE_HOME names during this test; nothing is in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("QEXPLORE_HOME", str(folder))
    return folder
