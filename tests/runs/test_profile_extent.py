"""How much a profile measures, and that what it leaves out still has its columns."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.report import Report
from qexplore.runs import profile_extent
from qexplore.runs.profile_extent import extent, few
from qexplore.runs.profile_job import profile
from qexplore.runs.profiles import Profile

TABLES = ("sites", "sensitivity", "points", "steps", "channels", "ranges", "estimators", "ablation")
SHIPPED = Path(qx.__file__).parent / "zoo" / "profiles" / "resnet-digits"


def test_a_network_too_slow_for_everything_has_a_profile_of_the_same_columns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(profile_extent, "PATIENCE", 0.0)
    told = profile({"task": "resnet-digits", "images": 24}, Report(), tmp_path)
    assert told["images"] == told["limit"] == 24
    assert told["metrics"] == ["fisher", "fit", "sqnr"]
    assert "the metrics divergence and loss" in told["left_out"]
    assert told["fp32"]["images"] > 24
    assert told["fp32_calibration"]["images"] == 24
    assert json.loads((tmp_path / "debug.json").read_text()) == {}
    for name in TABLES:
        mine, shipped = (pd.read_parquet(folder / f"{name}.parquet") for folder in (tmp_path, SHIPPED))
        assert list(mine.columns) == list(shipped.columns), name
    assert set(pd.read_parquet(tmp_path / "points.parquet")["images"]) == {24}
    assert Profile.read(tmp_path).fp32_here["images"] == Profile.read(tmp_path).images == 24


def test_less_is_measured_the_slower_the_network_and_what_is_asked_for_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    task = qx.Task("resnet-digits")
    network = Network.of(task.model, task.example)
    costs = []
    for seconds in (1e-9, 1e-3, 1e-2, 0.3, 10.0):
        monkeypatch.setattr(profile_extent, "seconds_an_image", lambda task, seconds=seconds: seconds)
        found = extent({"task": "resnet-digits"}, task, network, 7)
        costs.append((found.images or 1024) * found.passes(len(network.sites), 7))
        assert extent({"presets": ["w4a4"]}, task, network, 7).presets == ("w4a4",)
        assert extent({"images": 7}, task, network, 7).images == 7
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 100 * costs[-1]


def test_a_complete_profile_leaves_nothing_out_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    task = qx.Task("resnet-digits")
    network = Network.of(task.model, task.example)
    monkeypatch.setattr(profile_extent, "seconds_an_image", lambda task: 10.0)
    found = extent({"images": 24, "complete": True}, task, network, 7)
    assert (found.left_out, found.images) == ([], 24)
    assert extent({"images": 24}, task, network, 7).left_out


@pytest.mark.parametrize("images", [0, -1, 1.5, "all", True])
def test_a_number_of_images_that_is_none_is_refused(images: object) -> None:
    task = qx.Task("resnet-digits")
    with pytest.raises(QexploreError, match="whole number"):
        extent({"images": images}, task, Network.of(task.model, task.example), 7)


def test_few_images_are_the_first_of_each_part() -> None:
    task = qx.Task("resnet-digits")
    small = few(task, 10)
    assert [small.data.count(part) for part in ("calibration", "evaluation")] == [10, 10]
    (x, y), (want, labels) = small.data.tensors("evaluation"), task.data.tensors("evaluation", limit=10)
    assert x.equal(want)
    assert y.equal(labels)
    assert sum(len(y) for _, y in small.data.batches("evaluation", size=3, limit=99)) == 10
