"""`qexplore app`: serves the app, the same as `streamlit run app.py`."""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import qexplore
from qexplore.cli.numbers import whole
from qexplore.cli.subject import look_in
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=whole("a port is a whole number, such as 8501"),
        default=8501,
        help="port to serve on (default 8501)",
    )
    parser.add_argument("--data", metavar="DIR", help="a folder whose images may be used, beside those of `data list`")
    parser.add_argument("--address", default="127.0.0.1", help="address to serve on (default: this machine only)")


def work(words: Namespace, watcher: Watcher) -> Document:
    _require_free(words.address, words.port)
    look_in(words.data)
    script = _script()
    print(f"qexplore serves http://{words.address}:{words.port} (Ctrl-C stops it)", flush=True)
    serve = [sys.executable, "-m", "streamlit", "run", str(script)]
    serve += [f"--server.port={words.port}", f"--server.address={words.address}"]
    os.chdir(script.parent)  # where Streamlit finds the app's settings
    # Streamlit takes this process's place, so that whoever stops the one stops the other.
    os.execve(serve[0], serve, {**os.environ, "PYTHONPATH": _search_path(script.parent)})


def _script() -> Path:
    path = Path(qexplore.__file__).parents[1] / "app.py"
    if not path.is_file():
        raise QexploreError(f"There is no app at {path}: it is served from a clone of the repository only.")
    return path


def _require_free(address: str, port: int) -> None:
    if not 1 <= port <= 65535:
        raise QexploreError(f"Port {port} does not exist; choose one from 1 to 65535.")
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise QexploreError(
            f"Port {port} on {address} cannot be used ({reason}); choose another with --port or, under make, PORT=."
        ) from error


def _search_path(root: Path) -> str:
    return os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])


def text(document: Document) -> str:
    return ""


VERBS.register("app")(Verb("Serve the app in the browser.", arguments, work, text))
