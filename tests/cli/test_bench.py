"""The verb bench: all benches or one, their ratios in one document."""

from __future__ import annotations

import pytest

import qexplore.bench
from qexplore.registry import Registry


@pytest.fixture(autouse=True)
def benches(monkeypatch):
    """Two benches that take no time."""
    registry = Registry("bench")
    registry.register("first")(lambda report: {"quantized/fp32 a": 1.25})
    registry.register("second")(lambda report: {"fit/fp32 a": 4.0})
    monkeypatch.setattr(qexplore.bench, "BENCHES", registry)


@pytest.mark.parametrize(
    ("words", "ratios"),
    [([], {"quantized/fp32 a": 1.25, "fit/fp32 a": 4.0}), (["Second"], {"fit/fp32 a": 4.0})],
)
def test_ratios_of_all_benches_or_of_one(say, words, ratios):
    spoken = say("bench", *words, "--json")
    assert spoken.status == 0, spoken.err
    assert spoken.document["ratios"] == ratios
    assert {"qexplore", "torch", "threads"} <= spoken.document.keys()


def test_ratios_read_as_text(say):
    assert "quantized/fp32 a   1.25" in say("bench").out
