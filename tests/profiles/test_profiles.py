"""A profile goes from a run to the pages, and what is forecast from it is monotone."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.ptq.steps import images_at_once
from qexplore.report import Report
from qexplore.runs import Run, Store, database, profile_job, profile_ranges, worker
from qexplore.runs.jobs import MODULES
from qexplore.runs.profiles import FORMAT, NoProfile, Profile, load, predict_accuracy
from qexplore.runs.records import Records
from qexplore.zoo import names
from tests.executors import Idle


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home, executor=Idle())


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A home in which a worker, in this process, has made a small profile."""
    store = Store(tmp_path_factory.mktemp("used"), executor=Idle())
    spec = {"kind": "profile", "task": "resnet-digits", "recipe": "w8a8", "seed": 2}
    named = {"presets": ["w8a8"], "ablations": ["w8a8-per-tensor-equalized"], "diagnoses": ["w8a8"]}
    run = store.submit(spec | named)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile_job, "UNIFORM", (2, 4, 8))
        patch.setattr(profile_job, "FRONTIER", [(3.0, 3.0), (5.0, 4.0)])
        patch.setattr(profile_ranges, "MENU", (2, 8))
        worker.work(Records(store.root), run, list(MODULES))
    assert store.run(run).error is None
    return store


@pytest.fixture
def made(used: Store) -> Profile:
    return load("resnet-digits", used)


def test_a_profile_made_in_this_home_is_what_the_pages_read(made: Profile, used: Store) -> None:
    assert used.root in made.folder.parents
    assert (made.task, made.seed, made.recipe) == ("resnet-digits", 2, qx.Recipe.load("w8a8").to_document())
    sites = set(made.sites["site"])
    assert set(made.sensitivity["site"]) == sites
    assert set(made.sensitivity["metric"]) == set(made.metrics) == {"fisher", "fit", "sqnr", "divergence", "loss"}
    pairs = [(w, a) for w in (2, 4, 8) for a in (2, 4, 8)]
    uniform = [f"uniform W{w}A{a}" for w, a in pairs]
    assert list(made.points["label"]) == [*uniform, "frontier 3 / 3", "frontier 5 / 4"]
    assert [(row.weight_bits, row.activation_bits) for row in made.points.head(9).itertuples()] == pairs
    forecasts = made.points["calibration_accuracy"].notna()
    assert list(forecasts) == [w == a for w, a in pairs] + [True, True]
    assert made.fp32_here == made.fp32
    assert made.images is None
    assert all(set(json.loads(bits)) == sites for bits in made.points["bits"])
    assert set(made.steps["recipe"]) == {"w8a8"}
    assert set(made.ablation["recipe"]) == {"w8a8-per-tensor-equalized"}
    assert made.ablation["complete"].sum() == 1
    assert made.diagnoses["w8a8"]["task"] == "resnet-digits"
    assert isinstance(made.diagnoses["w8a8"]["healthy"], bool)
    assert made.fp32["images"] == 500
    for row in made.sites.itertuples():
        values = made.tensor(row.site)
        assert values.dtype == np.float32
        assert len(values) == min(row.numel * (1 if row.kind == "weight" else 256), 4096)


def test_what_is_sampled_keeps_the_extremes_of_each_site(made: Profile) -> None:
    channels = made.channels
    assert (channels[["lo", "q25", "q50", "q75", "hi"]].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    for row in made.sites.itertuples():
        if row.kind == "weight":
            mine, values = channels[channels["site"] == row.site], made.tensor(row.site)
            assert mine["lo"].min() == values.min()
            assert mine["hi"].max() == values.max()
    weight = qx.Task("resnet-digits").model.classifier.weight.detach().numpy()
    own = channels[channels["site"] == "classifier.weight"]
    assert np.allclose(own["q50"], np.quantile(weight, 0.5, axis=1), atol=1e-6)


def test_measured_points_are_what_a_measurement_says(made: Profile) -> None:
    from qexplore.network import evaluate
    from qexplore.recipes.carry_out import prepare

    task = qx.Task("resnet-digits")
    network = prepare(task, qx.Recipe.load("w8a8"), 2)
    row = made.points.iloc[-2]
    with network.using(json.loads(row["bits"])):
        assert evaluate(network, task.data.batches("evaluation")).value == row["accuracy"]
        assert evaluate(network, task.data.batches("calibration")).value == row["calibration_accuracy"]


def test_the_newest_profile_of_a_home_is_taken_before_the_shipped_one(used: Store) -> None:
    assert load("mobilenet-digits", used).folder.parent.name == "profiles"
    assert used.root in load("resnet-digits", used).folder.parents


def test_a_profile_that_an_older_qexplore_made_is_passed_over(store: Store) -> None:
    run = store.submit({"kind": "profile", "task": "resnet-digits"})
    folder = store.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profile.json").write_text('{"format": 1}')
    records = Records(store.root)
    records.claim(run, 1, "1")
    records.finish(run, "done", result={}, pid=1)
    assert load("resnet-digits", store).folder.parent.name == "profiles"
    (folder / "profile.json").write_text("{")
    with pytest.raises(QexploreError, match="make it anew"):
        load("resnet-digits", store)


@pytest.mark.parametrize("task", names())
def test_forecasts_fall_with_the_loss_and_never_leave_what_was_seen(task: str, store: Store) -> None:
    profile = load(task, store)
    losses = np.concatenate([[0.0], np.logspace(-14, 4, 400)])
    forecast = predict_accuracy(profile, losses)
    assert (np.diff(forecast) <= 1e-12).all()
    assert forecast.max() <= profile.fp32_here["value"]
    assert forecast.min() >= 0
    assert np.ptp(forecast) > 0.2
    assert predict_accuracy(profile, float(losses[200])) == forecast[200]
    assert isinstance(predict_accuracy(profile, 0.01), float)


@pytest.mark.parametrize("task", names())
def test_shipped_profiles_are_whole(task: str, store: Store) -> None:
    profile = load(task, store)
    network_sites = set(profile.sites["site"])
    assert set(profile.sensitivity["site"]) == network_sites
    assert not profile.sensitivity[["loss", "bits"]].isna().any(axis=None)
    assert profile.points["accuracy"].between(0, 1).all()
    assert {f"uniform W{w}A{a}" for w in (2, 3, 4, 6, 8) for a in (3, 8)} <= set(profile.points["label"])
    nodes = {node["name"] for node in profile.graph["nodes"]}
    assert {end for edge in profile.graph["edges"] for end in edge} <= nodes
    assert {node["site"] for node in profile.graph["nodes"] if node["site"]} <= network_sites
    assert profile.header["command"].startswith("python -m")


def test_a_task_that_nobody_knows_or_has_profiled_is_told(store: Store, home: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'resnet-digits'"):
        load("resnet-digit", store)
    document = {"format": 1, "name": "mine", "title": "", "model": "torchvision:resnet18@random", "weights": None}
    document |= {"data": "digits", "preprocessing": None, "classes": [], "segmentation": False, "seed": 0}
    (home / "tasks" / "mine").mkdir(parents=True)
    (home / "tasks" / "mine" / "task.json").write_text(json.dumps(document | {"local": False}))
    with pytest.raises(NoProfile, match="'mine' has no profile yet"):
        load("mine", store)


def finished(store: Store, **spec: str) -> str:
    run = store.submit({"task": "resnet-digits", **spec})
    Records(store.root).finish(run, "done", result={})
    return run


def test_a_run_that_is_deleted_while_profiles_are_looked_for_is_passed_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, listed = finished(store, kind="profile"), Store.runs

    def deleted_meanwhile(self: Store, **words: Any) -> list[Run]:
        found = listed(self, **words)
        Records(self.root).remove(run)
        return found

    monkeypatch.setattr(Store, "runs", deleted_meanwhile)
    assert run not in str(load("resnet-digits", store).folder)


def test_a_home_of_many_runs_is_asked_once_for_a_profile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):
        finished(store, kind="recipe")
    opened, connect = [], database._connect

    def counted(file: Path) -> sqlite3.Connection:
        opened.append(file)
        return connect(file)

    monkeypatch.setattr(database, "_connect", counted)
    load("resnet-digits", store)
    assert len(opened) == 2  # which runs are active, and which are done


def test_a_profile_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text('{"format": 99}')
    with pytest.raises(QexploreError, match="format 99"):
        Profile.read(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_torn_profile_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(content)
    with pytest.raises(QexploreError, match="make it anew"):
        Profile.read(tmp_path)


def test_an_unknown_site_has_no_values(store: Store) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        load("resnet-digits", store).tensor("stem.conv.weights")


def test_forecasts_need_no_order_and_stand_ties(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(
        json.dumps({"format": FORMAT, "fp32_here": {"value": 0.9}, "fp32_calibration": {"value": 1.0}})
    )
    points = pd.DataFrame(
        {"predicted_loss": [1.0, 0.01, 0.01, 0.0, 10.0], "calibration_accuracy": [0.5, 1.0, 0.8, 1.0, 0.7]}
    )
    points.to_parquet(tmp_path / "points.parquet")
    forecast = predict_accuracy(Profile.read(tmp_path), np.logspace(-13, 3, 200))
    assert (np.diff(forecast) <= 0).all()
    assert forecast[0] == pytest.approx(0.9)
    assert forecast[-1] == pytest.approx(0.5)  # pooled: the last two are one step down of 0.4


class Small(nn.Module):
    """A small network for large images."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.classifier = nn.Conv2d(3, 4, 8, stride=8), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.relu(self.convolution(x)).mean((2, 3)))


def test_large_images_are_measured_few_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes: list[int] = []
    batches = qx.Data.batches

    def watched(self: qx.Data, part: str, size: int = 128, limit: int | None = None) -> Any:
        sizes.append(min(size, self.count(part) if limit is None else limit))
        return batches(self, part, size, limit)

    images = (torch.rand(40, 3, 128, 128), torch.randint(0, 3, (40,)))
    task = qx.Task(model=Small().eval(), data=qx.Data(calibration=images, evaluation=images))
    monkeypatch.setattr(qx.Data, "batches", watched)
    monkeypatch.setattr(profile_job, "Task", lambda _: task)
    monkeypatch.setattr(profile_job, "made_of", lambda _: {})
    named = {"presets": ["w8a8"], "ablations": ["w8a8-per-tensor"], "diagnoses": ["w8a8-per-tensor"]}
    profile_job.profile({"task": "large", **named}, Report(), tmp_path)
    assert len(sizes) > 50
    assert max(sizes) == images_at_once(task.example) == 32
