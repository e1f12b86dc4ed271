"""`qx.allocate` is a function and a package at once; and solving leaves standard output alone."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qexplore.allocate.quiet import quiet_stdout

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
import qexplore as qx
from qexplore.allocate.random_problems import random_table
{first}
table = random_table(4, 3)
answer = qx.allocate(table, qx.Budget(weight_bits=6), exact=False, locked={{"layers.0.weight": 5}})
assert answer.bits["layers.0.weight"] == 5
import qexplore.allocate
assert qx.allocate(table, qx.Budget(weight_bits=6)).exact
assert qexplore.allocate.uniform(table, 6).loss >= answer.bound
assert "torch" not in sys.modules and "streamlit" not in sys.modules
"""


@pytest.mark.parametrize("first", ["", "import qexplore.allocate", "from qexplore.allocate import allocate"])
def test_the_public_function_works_before_and_after_its_package_is_imported(first: str) -> None:
    script = SCRIPT.format(first=first)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_the_package_does_not_load_scipy() -> None:
    script = "import sys, qexplore.allocate; print(sum(name.startswith('scipy') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_what_a_native_library_prints_is_dropped_and_the_rest_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(1, b"before ")
    with quiet_stdout(), quiet_stdout():
        ctypes.CDLL(None).puts(b"from C, through its buffer")
        os.write(1, b"from C, at once")
    os.write(1, b"after")
    assert capfd.readouterr().out == "before after"


def test_quiet_blocks_of_several_threads_may_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with quiet_stdout():
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(5)
    with quiet_stdout():
        leave.set()
        thread.join(5)
        os.write(1, b"lost")
    os.write(1, b"kept")
    assert capfd.readouterr().out == "kept"
