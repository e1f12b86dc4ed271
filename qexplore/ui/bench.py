"""The warm bench as the pages see it: one measuring process a server, asked through a desk so that no page waits."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.runs import Superseded, Warm

_HEAD_START = 4.0  # seconds: its imports would take the processor from the first page
DESK = ("measure", 4)  # name and threads of the desk that measurements wait at


@dataclass(frozen=True)
class Measured:
    """An accuracy, or a mean IoU (metric: "miou"), with its 95 % interval; seconds: None where it comes from the stored
    profile.
    """

    value: float
    low: float
    high: float
    images: int
    seconds: float | None = None
    metric: str = "accuracy"


@st.cache_resource
def warm() -> Warm:
    """The warm process of this server; it starts with the first question, or once the first page has been drawn."""
    bench = Warm()
    soon = threading.Timer(_HEAD_START, bench.start)
    soon.daemon = True
    soon.start()
    return bench


def ask(request: dict[str, Any], asker: str) -> dict[str, Any]:
    """The bench's answer; waits for it, so only a desk's thread asks. Errors as of `Warm.ask`."""
    return warm().ask(request, asker=asker)


def ended(future: Future[Any] | None) -> bool:
    """Whether an answer is there, be it a failure; one that a newer question replaced is none."""
    if future is None or not future.done() or future.cancelled():
        return False
    return not isinstance(future.exception(), Superseded)


def trouble(future: Future[Any]) -> str:
    """One sentence for an answer that failed, else nothing."""
    error = future.exception()
    if error is None:
        return ""
    return str(error) if isinstance(error, (QexploreError, RuntimeError)) else f"{type(error).__name__}: {error}"
