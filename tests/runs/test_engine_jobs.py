"""The engine's kinds of run give what the same verb of qexplore gives, and file their tables."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

import qexplore as qx
from qexplore.plain import plain
from qexplore.report import Report
from qexplore.runs.engine_jobs import ablation, score


def test_an_ablation_files_its_table_and_gives_its_rows(tmp_path: Path) -> None:
    spec = {"kind": "ablation", "task": "mobilenet-digits", "recipe": "w8a8", "seed": 1}
    events: list[dict[str, object]] = []
    found = ablation(spec, Report(events.append), tmp_path)
    assert set(found) == {"task", "recipe", "seed", "fp32", "accuracy", "rows"}
    assert (found["task"], found["seed"], found["recipe"]["name"]) == ("mobilenet-digits", 1, "w8a8")
    assert json.loads(json.dumps(plain(found))) == found
    filed = pd.read_parquet(tmp_path / "ablation.parquet")
    again = qx.ablate("mobilenet-digits", "w8a8", seed=1)
    pd.testing.assert_frame_equal(filed.drop(columns="seconds"), again.drop(columns="seconds"))
    assert any(event["event"] == "progress" for event in events)


def test_a_metric_is_scored_as_the_verb_scores_it_and_on_as_many_images_as_are_asked_for(tmp_path: Path) -> None:
    spec = {"kind": "sensitivity", "task": "resnet-digits", "recipe": "w8a8", "seed": 0, "metric": "fit"}
    found = score(spec, Report(), tmp_path)
    assert found["metric"] == "fit"
    filed = pd.read_parquet(tmp_path / "sensitivity.parquet")
    pd.testing.assert_frame_equal(filed, qx.sensitivity("resnet-digits", "fit"))
    assert score({**spec, "images": 32}, Report(), tmp_path)["images"] == 32
    assert not filed["loss"].equals(pd.read_parquet(tmp_path / "sensitivity.parquet")["loss"])
