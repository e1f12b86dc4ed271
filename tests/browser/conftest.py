"""The app served on a free port, and a real browser to look at it with.

Without chromium the browser tests are skipped, and the summary says so; where CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "Browser tests were skipped: there is no chromium on this machine (on Debian: apt-get install chromium)."


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if chromium() is None and not in_ci():
        terminalreporter.section("no browser")
        terminalreporter.line(MISSING)


@pytest.fixture(scope="session")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the served app has its home ("home") and its log."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="session")
def app_url(app_folder: Path) -> Iterator[str]:
    """Address of the app, served for the whole session with a home of its own."""
    folder = app_folder
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        serve = [sys.executable, "-m", "streamlit", "run", "app.py"]
        server = subprocess.Popen(
            [*serve, f"--server.port={port}", "--server.fileWatcherType=none"],
            cwd=ROOT,
            env={**os.environ, "QEXPLORE_HOME": str(folder / "home")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await_health(url, server, folder / "server.log")
            yield url
        finally:
            server.terminate()
            server.wait(20)


def _await_health(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"The app did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        if in_ci():
            pytest.fail("There is no chromium here, and in CI the browser tests must run.")
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def errors() -> list[str]:
    """What the pages of this test wrote to the console as errors; a test that means to cause some clears it."""
    return []


@pytest.fixture
def open_page(browser: Browser, errors: list[str]) -> Iterator[Callable[..., Page]]:
    """Makes a page in a fresh session: open_page(width=390, height=844, dark=True). No error may be left at the end."""
    contexts = []

    def make(width: int = 1400, height: int = 900, dark: bool = False) -> Page:
        scheme: Any = "dark" if dark else "light"
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: _note_page_error(errors, error))
        page.on("console", lambda message: _note_console(errors, message))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


def _note_page_error(errors: list[str], error: Error) -> None:
    errors.append(f"{error.name}: {error.message}")


def _note_console(errors: list[str], message: ConsoleMessage) -> None:
    if message.type == "error":
        errors.append(f"{message.text} ({message.location.get('url', '')})")


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page of 1400 × 900 in light colours."""
    return open_page()
