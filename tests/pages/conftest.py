"""The app in this process, over the profiles of the zoo, with a bench that answers without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from qexplore.errors import QexploreError
from qexplore.runs.profiles import Profile
from qexplore.ui import bench as benches

APP = Path(__file__).parents[2] / "app.py"


class Bench:
    """Stands in for the warm process: answers 0.9 of 500 images, or refuses."""

    def __init__(self) -> None:
        self.refusal = ""
        self.metric: dict[str, str] = {}
        self.asked: list[dict[str, Any]] = []

    def ask(self, request: dict[str, Any], *, timeout: float = 60.0, asker: str = "") -> dict[str, Any]:
        self.asked.append(request)
        if self.refusal:
            raise QexploreError(self.refusal)
        reached = {"value": 0.9, "low": 0.87, "high": 0.92, "images": 500, **self.metric}
        found = {"accuracy": reached, "seconds": 0.1}
        paired = {"gained": 3, "lost": 15, "change": -0.024, "p": 0.0075}
        return found | {"variants": dict.fromkeys(request.get("variants", {}), found | paired)}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    st.cache_resource.clear()
    monkeypatch.setattr(benches, "warm", lambda: made)
    for user in (
        "qexplore.ui.home.warm",
        "qexplore.ui.budgets.page.warm",
        "qexplore.ui.ranges.page.warm",
        "qexplore.ui.training.typed.warm",
    ):
        monkeypatch.setattr(user, lambda: made)
    return made


@pytest.fixture
def masks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench and the profiles as they are where every pixel has a class."""
    bench.metric = {"metric": "miou"}
    monkeypatch.setattr(Profile, "metric", "miou")
    return bench


@pytest.fixture
def opened(bench: Bench) -> Callable[..., AppTest]:
    """opened("budgets", w="4"): the page in a fresh session, with query parameters."""

    def open_page(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(APP), default_timeout=30)
        for key, value in query.items():
            at.query_params[key] = value
        at.run()
        for key, value in query.items():
            at.query_params[key] = value
        at.switch_page(f"pages/{page}.py").run()
        assert not at.exception, at.exception
        return at

    return open_page
