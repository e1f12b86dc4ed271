"""The command line as a process of its own: exit status, pipes, ports."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "qexplore", *words], cwd=ROOT, capture_output=True, text=True)


def test_json_is_all_that_stands_on_stdout():
    done = call("zoo", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert {"name", "title", "made_on_purpose"} <= json.loads(done.stdout)[0].keys()


def test_an_unknown_verb_is_status_2_without_traceback():
    done = call("quantise")
    assert done.returncode == 2
    assert done.stderr.startswith("There is no verb 'quantise'")
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m qexplore zoo --json | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[", "")


def test_a_port_in_use_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = call("app", "--port", port)
    assert done.returncode == 2
    assert port in done.stderr
    assert "in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1
