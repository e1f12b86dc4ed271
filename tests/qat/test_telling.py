"""What a training has told is kept with its checkpoints, thinned where it would grow without end."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qexplore.network.table import site_table
from qexplore.ptq import STEPS
from qexplore.qat import telling
from qexplore.qat.optimizing import Optimizers
from qexplore.qat.telling import KEPT, thinned
from qexplore.qat.training import Training
from qexplore.report import Event, Report
from qexplore.runs.training_log import Log
from qexplore.runs.trainings import Stage
from tests.network.nets import built
from tests.qat.small import QUICK, Memory, calibration, done, named, quantized, watched


@pytest.mark.parametrize("kind", KEPT)
def test_of_a_kind_that_is_told_again_and_again_some_are_kept_the_first_and_the_last_among_them(kind: str) -> None:
    history: list[Event] = []
    for at in range(4 * KEPT[kind]):
        history = thinned([*history, {"event": kind, "at": at}, {"event": "epoch", "at": at}])
        kept = [event["at"] for event in history if event["event"] == kind]
        assert KEPT[kind] // 2 <= len(kept) <= KEPT[kind] or at < KEPT[kind] // 2
        assert kept == sorted(kept)
        assert (kept[0], kept[-1]) == (0, at)
    assert [event["at"] for event in history if event["event"] == "epoch"] == list(range(4 * KEPT[kind]))


def test_allocations_that_changed_bits_are_all_kept() -> None:
    changed = [at % 3 for at in range(1000)]
    history: list[Event] = []
    for at, count in enumerate(changed):
        history = thinned([*history, {"event": "allocation", "at": at, "changed": count}])
    assert [event["at"] for event in history if event["changed"]] == [at for at in range(1000) if changed[at]]
    assert len(history) <= sum(map(bool, changed)) + KEPT["allocation"]
    assert (history[0]["at"], history[-1]["at"]) == (0, 999)


def test_a_long_training_that_goes_on_tells_as_much_as_its_page_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("weights", "activations"):
        monkeypatch.setitem(telling.KEPT, kind, 6)
    memory, events, again = Memory(), list[Event](), list[Event]()
    settings: dict[str, Any] = {**QUICK, "batch": 24, "epochs": 20}
    for told in (events, again):
        seen = calibration((3, 8, 8), key="3-qat", keeper=memory)
        STEPS.get("qat")(quantized(built("add-relu")[0], seen), seen, Report(told.append), **settings)
    assert sum(event["event"] == "weights" for event in events) == 21
    stage, whole = (Stage(Log().extend(enumerate(told)).stages[3], 0.0) for told in (again, events))
    assert stage.marks[["epoch", "accuracy"]].equals(whole.marks[["epoch", "accuracy"]])
    for site in ("stem.weight", "stem.out"):
        few, all_ = (each.ends[each.ends["site"] == site] for each in (stage, whole))
        assert 3 <= len(few) <= 6
        assert (few["epoch"].iloc[0], few["epoch"].iloc[-1]) == (0, 20)
        assert all_.merge(few).equals(few.reset_index(drop=True))
    assert len(stage.weights("stem.weight")) == len(stage.ends[stage.ends["site"] == "stem.weight"])


def test_the_rate_that_is_told_is_that_of_the_step_that_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVERY", 0.0)
    used, events, step = list[float](), list[Event](), Optimizers.step

    def watch(optimizers: Optimizers, factor: float) -> None:
        used.append(QUICK["rate"] * factor)
        step(optimizers, factor)

    monkeypatch.setattr(Optimizers, "step", watch)
    seen = calibration((3, 8, 8))
    STEPS.get("qat")(quantized(built("add-relu")[0], seen), seen, Report(events.append), **QUICK, warmup=1.0)
    assert [event["rate"] for event in events if event["event"] == "training"] == used
    assert len(used) == 6


def test_what_the_network_answers_before_the_first_step_is_told_once_and_begins_the_curve() -> None:
    events, again = list[Event](), list[Event]()
    seen = calibration((3, 8, 8), key="3-qat", keeper=Memory())
    still = {**QUICK, "epochs": 2, "rate": 1e-12, "quantizer_rate": 1e-12}
    for told in (events, again):  # the second goes on where the first has ended, and tells it again
        STEPS.get("qat")(quantized(built("add-relu")[0], seen), seen, Report(told.append), **still)
        names = [event["event"] for event in told]
        assert names.count("beginning") == 1
    assert names.index("beginning") < names.index("epoch")
    stage = Stage(Log().extend(enumerate(events)).stages[3], 5.0)
    assert stage.beginning is not None
    assert stage.beginning["held_out_loss"] == pytest.approx(stage.marks["held_out_loss"].iloc[-1], rel=1e-6)
    assert stage.course["epoch"].tolist() == [5.0, 6.0, 7.0]
    assert stage.course["accuracy"].tolist() == [stage.beginning["accuracy"], *stage.marks["accuracy"]]


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_a_weight_is_outside_where_it_lies_beyond_the_grid_of_its_own_channel(
    monkeypatch: pytest.MonkeyPatch, granularity: str
) -> None:
    def look(training: Training) -> list[tuple[float, float]]:
        told, pairs = telling.weights(training)["sites"], []
        for name, one in told.items():
            quantizer = training.trainable.quantizers[name]
            rows = quantizer.spec.slices(training.trainable.facing(quantizer.site.layer))
            ends = quantizer.range()
            beyond = sum(
                int(((row < float(lo) - 1e-6) | (row > float(hi) + 1e-6)).sum())
                for row, lo, hi in zip(rows, ends.lo, ends.hi, strict=True)
            )
            pairs.append((one["outside"], beyond / rows.numel()))
        return pairs

    network, seen = named("add-relu", bits=2, weights={"granularity": granularity})
    found = watched(monkeypatch, look)
    STEPS.get("qat")(network, seen, Report(), **QUICK)
    assert all(share == pytest.approx(oracle) for share, oracle in found[0])
    assert max(share for share, _ in found[0]) > 0


def test_what_lies_on_the_end_of_its_grid_is_not_outside() -> None:
    events = list[Event]()
    network, seen = named("add-relu", bits=3)
    network = done(network, seen, ("weight-ranges", {"method": "min-max"}))
    STEPS.get("qat")(network, seen, Report(events.append), **QUICK)
    first = next(event for event in events if event["event"] == "weights")
    assert {one["outside"] for one in first["sites"].values()} == {0.0}


def test_channels_of_zeros_do_not_stretch_the_range_that_is_told_and_handed_over() -> None:
    events, seen, (model, _) = list[Event](), calibration((3, 8, 8)), built("add-relu")
    with torch.no_grad():
        model.stem.weight[:2].zero_()
    network = quantized(model, seen)
    network.set_masks({"stem": network.layers["stem"].weight != 0})
    STEPS.get("qat")(network, seen, Report(events.append), **QUICK)
    reach = 2 * float(network.layers["stem"].weight.abs().max())
    told = [event["sites"]["stem.weight"] for event in events if event["event"] == "weights"]
    row = site_table(network).set_index("site").loc["stem.weight"]
    assert all(-reach < one["lo"] < 0 < one["hi"] < reach for one in [*told, row])
    handed = network.own["stem.weight"].range
    assert handed is not None
    assert not handed.lo[:2].any()
    assert not handed.hi[:2].any()


def test_qbitopt_tells_what_its_first_allocation_has_right() -> None:
    events = list[Event]()
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen)
    budget = {"weight_bits": 5.0, "activation_bits": 6.0}
    STEPS.get("qbitopt")(network, seen, Report(events.append), **{**QUICK, **budget, "batch": 24, "epochs": 1})
    names = [event["event"] for event in events]
    assert names.index("allocation") < names.index("beginning") < names.index("training")


def test_batch_norms_that_are_not_there_are_told_of() -> None:
    events = list[Event]()
    seen = calibration((3, 8, 8))
    for mode in ("static", "keep", "double-forward"):
        network = quantized(built("add-relu")[0], seen)
        STEPS.get("qat")(network, seen, Report(events.append), **{**QUICK, "epochs": 1, "batch_norm": mode})
    told = [event["text"] for event in events if event["event"] == "log"]
    assert [text.split(": ")[-1] for text in told] == ["keep changes nothing.", "double-forward changes nothing."]
