"""The bench of training steps, on a network that is small enough for a test."""

from __future__ import annotations

import pytest
from torch import nn

from qexplore.bench import training
from qexplore.report import Report


def small() -> nn.Module:
    layers = [nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10)]
    return nn.Sequential(*layers)


def test_steps_are_carried_out_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "NETWORKS", {"small": small})
    monkeypatch.setattr(training, "BATCH", 8)
    ratios = training.training(Report())
    assert set(ratios) == {
        "qat/fp32 step, batch norms kept small",
        "qat/fp32 step, batch norms folded small",
        "qbitopt/qat step small",
    }
    assert all(0 < ratio < 1000 for ratio in ratios.values())
