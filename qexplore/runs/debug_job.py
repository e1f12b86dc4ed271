"""The kind of run that says why a quantized network is worse than its model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qexplore.debugging import debug
from qexplore.report import Report


def diagnose(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Carry the debugging flowchart out; files report.md, debug.json and sites.parquet.

    spec: task, recipe (a preset or a document), seed.
    """
    found = debug(spec["task"], spec["recipe"], int(spec.get("seed", 0)), report.forward)
    document = found.to_document()
    (folder / "report.md").write_text(found.to_markdown(), encoding="utf-8")
    (folder / "debug.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    found.sites.to_parquet(folder / "sites.parquet")
    del document["sites"]  # a table of its own
    return document
