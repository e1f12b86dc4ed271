"""Finished runs in a home, made by hand: what the pages find there without any process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from qexplore.runs import Store
from qexplore.runs.records import Records
from tests.executors import Idle

File = pd.DataFrame | dict[str, Any] | str


def shelve(home: Path, spec: dict[str, Any], result: dict[str, Any], **files: File) -> str:
    """A finished run with its files, named as the keywords with _ for the dot; returns its id."""
    shelf = Store(home, executor=Idle())
    run = shelf.submit(spec)
    for name, content in files.items():
        path = shelf.folder(run) / name.replace("_", ".")
        if isinstance(content, pd.DataFrame):
            content.to_parquet(path)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    Records(shelf.root).finish(run, "done", result=result)
    return run


def accuracy(value: float) -> dict[str, Any]:
    """An accuracy document of 500 images."""
    return {"value": value, "low": max(value - 0.02, 0.0), "high": min(value + 0.02, 1.0), "images": 500}
