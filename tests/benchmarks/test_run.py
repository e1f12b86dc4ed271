"""A run of the benchmarks measures what it is asked to, and keeps the rest where the page can tell both."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import run
from benchmarks.tools import BITS, TOOLS, Tool

KEYS = [tool.key for tool in TOOLS]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stored figures of seed 0, and tools that answer at once."""
    file = tmp_path / "results.json"
    rows = {bits: {key: {"seed": 0, "not_offered": "stored"} for key in KEYS} for bits in BITS}
    rows["w4a4"]["mct"] = {"failed": "it has no seed to tell"}
    file.write_text(json.dumps({"command": "", "machine": {}, "fp32": {"seed": 0}, "results": rows}))

    def measure(python: str, tool: Tool, bits: str, arguments: list[str]) -> dict[str, Any]:
        return {"seed": int(arguments[-1]), "not_offered": "measured"}

    monkeypatch.setattr(run, "RESULTS", file)
    monkeypatch.setattr(run, "measure", measure)
    monkeypatch.setattr(run, "interpreter", lambda tool, folder: "python")
    monkeypatch.setattr("benchmarks.run.subprocess.run", lambda *words, **options: None)
    return file


def fill(seed: int, folder: Path, **some: list[str]) -> None:
    asked = {"tools": KEYS, "bits": list(BITS)} | some
    run.fill(Namespace(seed=seed, data=None, environments=folder, **asked), folder)


def test_what_is_not_measured_again_stays(results: Path, tmp_path: Path) -> None:
    fill(0, tmp_path, bits=["w4a4"], tools=["brevitas"])
    found = json.loads(results.read_text())["results"]
    said = {(bits, key): row.get("not_offered") for bits, rows in found.items() for key, row in rows.items()}
    assert [place for place, word in said.items() if word == "measured"] == [("w4a4", "brevitas")]
    assert len(said) == len(BITS) * len(KEYS)


@pytest.mark.parametrize("some", [{"bits": ["w4a4"]}, {"tools": ["mct"]}])
def test_figures_of_two_seeds_are_refused_in_one_sentence(
    results: Path, tmp_path: Path, some: dict[str, list[str]]
) -> None:
    before = results.read_text()
    with pytest.raises(
        SystemExit, match="figures of seed 0, which this run would leave beside those of seed 1"
    ) as found:
        fill(1, tmp_path, **some)
    assert "\n" not in str(found.value)
    assert results.read_text() == before


def test_a_full_run_with_another_seed_keeps_no_figure_of_the_old_one_while_it_measures(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def measure(python: str, tool: Tool, bits: str, arguments: list[str]) -> dict[str, Any]:
        seen.append(json.loads(results.read_text())["results"])
        return {"seed": 1, "not_offered": "measured"}

    monkeypatch.setattr(run, "measure", measure)
    fill(1, tmp_path)
    seeds = [{row["seed"] for rows in each.values() for row in rows.values() if "seed" in row} for each in seen[2:]]
    assert seeds == [{1}] * (len(BITS) * len(KEYS) - 1)  # the first measures FP32, the second fills the first row
