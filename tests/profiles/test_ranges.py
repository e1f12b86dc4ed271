"""The tables about ranges say what the engine says, and the network is left as it was."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import qexplore as qx
from qexplore.network import Network, compare, evaluate, judge
from qexplore.numerics import Spec, estimate_range, quantization_error
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.runs import profile_ranges, profiles
from qexplore.runs.profile_channels import channel_table
from qexplore.runs.profile_ranges import DYNAMIC, LOGITS, estimator_table, range_table, serving
from qexplore.zoo import names

TASK = "resnet-digits"
W8A8 = Recipe.load("w8a8")


@pytest.fixture(scope="module")
def task() -> qx.Task:
    return qx.Task(TASK)


@pytest.fixture(scope="module")
def network(task: qx.Task) -> Network:
    return prepare(task, W8A8)


@pytest.fixture(scope="module")
def table(task: qx.Task, network: Network) -> pd.DataFrame:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile_ranges, "MENU", (2, 5))
        return range_table(task, network, Report())


def test_cross_entropy_serves_the_logits_alone_and_the_rest_every_site(network: Network) -> None:
    assert network.logits is not None
    for site in network.sites:
        assert {"min-max", "percentile", "mse", "golden-section"} <= set(serving(network, site))
        assert ("cross-entropy" in serving(network, site)) is (site.name == network.logits.name)
        if site.kind == "weight":
            assert "batch-norm" not in serving(network, site)


@pytest.mark.parametrize("method", ["min-max", "percentile", "mse"])
def test_a_row_is_the_range_and_the_error_that_the_engine_finds(
    network: Network, table: pd.DataFrame, method: str
) -> None:
    for name, spec in (
        ("blocks.0.first.conv.weight", Spec(bits=5, granularity="channel")),
        ("blocks.0.second.conv.out", Spec(bits=5, symmetric=False)),
    ):
        values = network.values(network.site(name))
        row = table[(table["site"] == name) & (table["bits"] == 5) & (table["method"] == method)].iloc[0]
        interval = estimate_range(values, spec, method)
        error = quantization_error(values, spec, interval)
        assert row["lo"] == pytest.approx(float(interval.lo.min()), rel=1e-5)
        assert row["hi"] == pytest.approx(float(interval.hi.max()), rel=1e-5)
        assert row["rounding"] == pytest.approx(error.rounding, rel=1e-4)
        assert row["clipping"] == pytest.approx(error.clipping, rel=1e-3, abs=1e-9)


def test_accuracies_are_measured_at_few_bits_and_paired_with_the_stored_estimator(
    task: qx.Task, network: Network, table: pd.DataFrame
) -> None:
    assert table.loc[table["bits"] == 5, "accuracy"].isna().all()
    site = "blocks.0.second.conv.out"
    rows = table[(table["site"] == site) & (table["bits"] == 2)].set_index("method")
    run = qx.run(task, W8A8.with_settings({f"sites.{site}.bits": 2, f"sites.{site}.method": "min-max"}))
    assert rows.loc["min-max", "accuracy"] == run.accuracy.value
    with network.using({site: 2}):
        stored = judge(network, task.data.batches("evaluation"))
    paired = compare(stored, judge(run.network, task.data.batches("evaluation")))
    assert (rows.loc["min-max", "gained"], rows.loc["min-max", "lost"]) == (paired.gained, paired.lost)
    assert rows.loc["min-max", "p"] == pytest.approx(paired.p)
    assert rows.loc["min-max", "change"] == pytest.approx(paired.change)
    assert (rows.loc["mse", "gained"], rows.loc["mse", "lost"]) == (0, 0)


def test_the_network_is_left_as_it_was(task: qx.Task, network: Network, table: pd.DataFrame) -> None:
    fresh = prepare(task, W8A8)
    assert len(table)
    assert network.bits == fresh.bits
    assert evaluate(network, task.data.batches("evaluation")) == evaluate(fresh, task.data.batches("evaluation"))


def test_one_estimator_everywhere_is_the_recipe_with_that_method(
    task: qx.Task, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_ranges, "MENU", (8,))
    found = estimator_table(task, network, Report()).set_index(["kind", "method"])["accuracy"]
    for kind, method in (("weight", "min-max"), ("activation", "percentile")):
        settings = {f"{kind}-ranges.method": method}
        if kind == "activation":
            assert found[kind, method] == qx.run(task, W8A8.with_settings(settings)).accuracy.value
        else:
            assert found[kind, method] == pytest.approx(
                qx.run(task, W8A8.with_settings(settings)).accuracy.value, abs=0.01
            )
    assert ("activation", LOGITS) in found.index
    dynamic = W8A8.with_settings({"activation-ranges.method": "min-max", "activation-ranges.dynamic": True})
    assert found["activation", DYNAMIC] == qx.run(task, dynamic).accuracy.value
    assert not network.dynamic
    assert ("weight", "cross-entropy") not in found.index


def test_one_estimator_everywhere_keeps_roundings_that_were_learned(
    task: qx.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_ranges, "MENU", (8,))
    monkeypatch.setattr(profile_ranges, "RANGES", ("min-max", "mse"))
    network = prepare(task, W8A8)
    site = network.site("classifier.weight")
    network.set_quantized(site, 8, network.quantized_weight(site, 8).roll(1, 0))  # every class is called by another
    learned = evaluate(network, task.data.batches("evaluation"))
    found = estimator_table(task, network, Report()).set_index(["kind", "method"])["accuracy"]
    assert found["activation", "mse"] == learned.value < 0.5
    assert found["weight", "mse"] > 0.9  # which rounds to nearest
    assert evaluate(network, task.data.batches("evaluation")) == learned


def test_channels_are_those_of_the_recipe_before_and_of_equalization_after(task: qx.Task, network: Network) -> None:
    table = channel_table(task, network, W8A8, 0)
    pair = prepare(task, Recipe.from_document({"steps": ["fold-bn", "replace-relu6", "equalize"]}))
    for name in ("blocks.0.first.conv.weight", "classifier.weight"):
        rows = table[table["site"] == name]
        for net, lo, hi in ((network, "lo", "hi"), (pair, "equalized_lo", "equalized_hi")):
            weight = net.values(net.site(name)).flatten(1)
            assert np.allclose(rows[lo], weight.amin(1))
            assert np.allclose(rows[hi], weight.amax(1))
    first = table[table["site"] == "blocks.0.first.conv.weight"]
    assert not np.allclose(first["lo"], first["equalized_lo"])


@pytest.mark.parametrize("task_name", names())
def test_shipped_tables_hold_every_site_at_every_width(task_name: str) -> None:
    profile = profiles.load(task_name)
    counted = profile.ranges.groupby("site")["bits"].nunique()
    assert set(counted.index) == set(profile.sites.loc[profile.sites["kind"] != "opaque", "site"])
    assert (counted == 7).all()
    shown = profile.ranges
    assert (shown["lo"] <= 0).all()
    assert (shown["hi"] >= 0).all()
    best = shown[shown["method"] == "mse"].set_index(["site", "bits"])["sqnr_db"]
    plain = shown[shown["method"] == "min-max"].set_index(["site", "bits"])["sqnr_db"]
    assert (best >= plain - 0.1).all()
    assert set(profile.estimators["kind"]) == {"weight", "activation"}
    assert {"equalized_lo", "equalized_hi"} <= set(profile.channels.columns)
