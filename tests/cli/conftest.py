"""The command line, called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from qexplore.cli import main


class Spoken(NamedTuple):
    """What one call of the command line left behind."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document that it must be; nan and infinity are no JSON."""
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    @property
    def last_words(self) -> str:
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Callable[..., Spoken]:
    """say("zoo", "--json") calls the command line; the file descriptors are watched, not only Python's streams."""

    def call(*words: str) -> Spoken:
        capfd.readouterr()
        status = main(words)
        return Spoken(status, *capfd.readouterr())

    return call
