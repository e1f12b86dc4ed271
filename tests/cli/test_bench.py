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


def test_a_bench_that_takes_more_images_is_given_them_and_another_says_so(say, monkeypatch):
    qexplore.bench.BENCHES.register("large")(lambda report, *, images=4: {"images": float(images)})
    assert say("bench", "large", "--images", "1000", "--json").document["ratios"] == {"images": 1000.0}
    assert say("bench", "large", "--json").document["ratios"] == {"images": 4.0}
    refused = say("bench", "first", "--images", "8")
    assert refused.status == 2
    assert "has its own images" in refused.err
    assert "at least one image" in say("bench", "large", "--images", "0").err
