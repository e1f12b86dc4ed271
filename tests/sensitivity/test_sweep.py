"""The metric `loss` goes on from the values that live where a site acts: its numbers are those of complete passes."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.allocate.sensitivity import sensitivity_table
from qexplore.bench.sweep import complete_passes
from qexplore.network import Network
from qexplore.network.execute import Plan
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report


class Branches(nn.Module):
    """Two branches of different length that are concatenated, a layer that is called twice, and an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = (nn.Conv2d(n, 4, 3, padding=1) for n in (2, 4, 4))
        self.shared, self.pool, self.last = nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 3)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        both = torch.cat([self.act(self.left(self.act(self.right(x)))), x], dim=1)
        again = self.act(self.shared(self.act(self.shared(both))))
        return self.last(self.pool(again + both).flatten(1))


def branches() -> qx.Task:
    torch.manual_seed(0)
    part = torch.randn(20, 2, 6, 6), torch.randint(0, 3, (20,))
    return qx.Task(model=Branches(), data=qx.Data(calibration=part, evaluation=part))


def prepared(name: str, recipe: str = "w8a8") -> tuple[Network, Calibration]:
    task = branches() if name == "branches" else qx.Task(name)
    return prepare(task, Recipe.load(recipe)), Calibration(task.data, limit=20, batch=12)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", ["branches", "resnet-digits", "mobilenet-digits"])
def test_a_sweep_measures_what_complete_passes_measure(name: str, dynamic: bool) -> None:
    network, calibration = prepared(name)
    network.set_dynamic(dynamic)
    table = sensitivity_table(network, calibration, "loss", (3, 8))
    want = complete_passes(network, calibration, (3, 8))
    assert {(row.site, row.bits): row.loss for row in table.itertuples()} == pytest.approx(want, rel=0, abs=1e-12)
    assert len(want) == 2 * len(network.sites)
    assert network.dynamic == dynamic


def test_a_sweep_carries_out_about_half_of_the_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calibration = prepared("mobilenet-digits")
    resumed = []
    original = Plan.resume

    def resume(self: Plan, values: Any, steps: Any) -> Tensor:
        resumed.append(len(steps) / len(self.steps))
        return original(self, values, steps)

    monkeypatch.setattr(Plan, "resume", resume)
    sensitivity_table(network, calibration, "loss", (8,))
    assert len(resumed) == 2 * len(network.sites)  # batches
    assert sum(resumed) / len(resumed) < 0.65


def test_a_watched_plan_keeps_only_what_is_read_later() -> None:
    network, calibration = prepared("resnet-digits")
    x, _ = next(calibration.batches())
    seen: list[weakref.ref[Tensor]] = []
    most = 0

    def watch(name: str, value: Any) -> None:
        nonlocal most
        seen.append(weakref.ref(value))
        most = max(most, sum(ref() is not None for ref in seen))

    with torch.inference_mode():
        network.plan().watch(x, watch)
    assert most < len(seen) / 2


def test_a_sweep_can_be_stopped_at_every_site() -> None:
    network, calibration = prepared("branches")
    told = 0

    def stop(event: dict[str, Any]) -> None:
        nonlocal told
        told += 1
        if told == 3:
            raise KeyboardInterrupt

    before = network.bits
    with pytest.raises(KeyboardInterrupt):
        sensitivity_table(network, calibration, "loss", (8,), Report(stop))
    assert network.bits == before
