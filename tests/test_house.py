"""The floors of the house at run time: what must start fast needs no torch, and the engine no Streamlit."""

from __future__ import annotations

import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import qexplore

ROOT = Path(__file__).parents[1]
LIGHT = [
    "qexplore",
    "qexplore.allocate",
    "qexplore.debugging",
    "qexplore.figures",
    "qexplore.places",
    "qexplore.runs",
    "qexplore.cli",
    "qexplore.ui",
    "qexplore.ui.post_training.debugging",
    "qexplore.ui.ranges",
    "qexplore.ui.training.page",
    "qexplore.zoo.preprocessing",
]


def loaded_by(module: str, name: str) -> bool:
    """Whether importing `module` in a fresh process loads `name`."""
    script = f"import sys, {module}; print({name!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("module", [name for name in LIGHT if importlib.util.find_spec(name)])
def test_what_the_pages_import_does_not_load_torch(module: str) -> None:
    assert not loaded_by(module, "torch")


def test_the_engine_does_not_load_streamlit() -> None:
    floors = [m.name for m in pkgutil.iter_modules(qexplore.__path__, "qexplore.") if m.name != "qexplore.__main__"]
    engine = ", ".join(name for name in floors if name != "qexplore.ui")
    assert not loaded_by(engine, "streamlit")


def test_every_name_of_the_public_face_exists() -> None:
    for name in qexplore.__all__:
        assert callable(getattr(qexplore, name)), name
        assert callable(getattr(qexplore, name)), name  # the import may have put a package in the function's place
