"""The command line as a process of its own: exit status, pipes, ports."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
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


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
        return bool(answer.read() == b"ok")
    return False


def test_the_app_serves_on_its_port_and_stops_with_its_process():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "qexplore", "app", "--port", str(port)]
    app = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert app.stdout is not None
        assert f"http://127.0.0.1:{port}" in app.stdout.readline()
        end = time.monotonic() + 60
        while not answers(port) and time.monotonic() < end:
            time.sleep(0.1)
        assert answers(port)
    finally:
        app.terminate()
        app.communicate(timeout=20)
    assert not answers(port)
