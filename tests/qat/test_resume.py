"""A training that is stopped anywhere and goes on from its checkpoint ends on the bits of one that never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from torch import Tensor

from qexplore.allocate import Answer, uniform
from qexplore.allocate.random_problems import random_table
from qexplore.network import Network
from qexplore.ptq import STEPS, Calibration
from qexplore.qat import limits, qbitopt
from qexplore.qat.limits import Limits
from qexplore.qat.settings import Settings
from qexplore.report import Event, Report
from tests.network.nets import built
from tests.qat.small import QUICK, Memory, Stop, calibration, quantized, same, stopping_after, weights_of

BUDGET = {"weight_bits": 4, "activation_bits": 4, "every": 1, "freeze": 0.2}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("qat", {}),
    "ema": ("qat", {"ema": 0.9}),
    "adam": ("qat", {"optimizer": "adam", "decay": 0.1}),
    "freezing": ("qat", {"freezing": 0.005, "damping": 0.01, "rate": 0.3}),
    "distilled": ("qat", {"distill": 0.5}),
    "noise": ("qat", {"noise": 0.5}),
    "kept": ("qat", {"batch_norm": "keep", "reestimate": 2}),
    "double": ("qat", {"batch_norm": "double-forward"}),
    "fixed": ("qat", {"learn": False}),
    "qbitopt": ("qbitopt", BUDGET),
    "qbitopt-answers": ("qbitopt", {**BUDGET, "gradients": "answers"}),
    "qbitopt-model": (
        "qbitopt",
        {**BUDGET, "noise": 0.5, "error": "model", "exact": False, "learn": False, "ema": 0.9},
    ),
}


def images(**more: Any) -> Calibration:
    return calibration((3, 8, 8), key="3-qat", **more)


def trained(way: str, seen: Calibration, report: Report) -> dict[str, Tensor]:
    """The weights after a training of that kind."""
    step, settings = WAYS[way]
    settings = {**QUICK, **settings}
    network = quantized(built("add-relu")[0], seen, fold=settings.get("batch_norm", "static") == "static")
    return weights_of(STEPS.get(step)(network, seen, report, **settings))


@pytest.fixture(scope="module", params=WAYS)
def whole(request: pytest.FixtureRequest) -> tuple[str, dict[str, Tensor], list[Event]]:
    """An uninterrupted training: its kind, weights and events."""
    events: list[Event] = []
    return request.param, trained(request.param, images(), Report(events.append)), events


def without_clock(events: list[Event]) -> list[Event]:
    """Events without what hangs on the clock: seconds, and how many steps there are from one loss to the next."""
    timed = ("training", "progress", "training-started", "training-ended")
    return [{k: v for k, v in event.items() if k != "seconds"} for event in events if event["event"] not in timed]


# Events at which a training is stopped, by name and number; kinds of training without an entry stop at an epoch.
ALL = [
    ("training-started", 0),
    ("weights", 0),
    ("progress", 0),
    ("epoch", 0),
    ("activations", 2),
    ("training-ended", 0),
]
STOPS = {
    "plain": ALL,
    "freezing": [("oscillation", 0), ("epoch", 1)],
    "qbitopt": [("allocation", 0), ("allocation", 2), ("activations", 0)],
    "qbitopt-answers": [("allocation", 1)],
}


def test_stopped_at_any_event_and_resumed_gives_the_same_bits_and_the_same_events(
    whole: tuple[str, dict[str, Tensor], list[Event]],
) -> None:
    way, expected, told = whole
    for name, count in STOPS.get(way, [("epoch", 0)]):
        memory, again = Memory(), list[Event]()
        with pytest.raises(Stop):
            trained(way, images(keeper=memory), stopping_after(count, name))
        assert same(trained(way, images(keeper=memory), Report(again.append)), expected), name
        assert without_clock(again) == without_clock(told), name
        assert [event["epoch"] for event in again if event["event"] == "epoch"] == [1, 2]


def test_stopped_in_the_middle_of_an_epoch_again_and_again(
    whole: tuple[str, dict[str, Tensor], list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qexplore.qat.telling.EVERY", 0.0)  # every step is told
    way, expected, told = whole
    memory, at = Memory(), []
    for _ in range(2):
        events: list[Event] = []

        def send(event: Event, events: list[Event] = events) -> None:
            events.append(event)
            if event["event"] == "progress" and event["text"].startswith("q") and event["done"] > len(at):
                at.append(event["done"])
                raise Stop

        with pytest.raises(Stop):
            trained(way, images(keeper=memory), Report(send))
    assert at == [1, 2]
    again: list[Event] = []
    assert same(trained(way, images(keeper=memory), Report(again.append)), expected)
    assert without_clock(again) == without_clock(told)
    losses = [event["at"] for event in again if event["event"] == "training"]
    assert losses == sorted(set(losses))


def test_a_training_that_is_done_is_not_done_again() -> None:
    memory, events = Memory(), list[Event]()
    expected = trained("plain", images(keeper=memory), Report())
    saved = memory.saved
    assert same(trained("plain", images(keeper=memory), Report(events.append)), expected)
    assert memory.saved == saved
    started = next(event for event in events if event["event"] == "training-started")
    assert started["at"] == started["steps"]


OTHERS: dict[str, Any] = {
    "epochs": {"epochs": 5},
    "rate": {"rate": 0.02},
    "smoothing": {"smoothing": 0.1},
    "batch": {"batch": 4},
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_checkpoint_of_other_settings_is_not_taken_over_and_that_is_told(other: str) -> None:
    def run(seen: Calibration, report: Report, settings: dict[str, Any]) -> dict[str, Tensor]:
        network = quantized(built("add-relu")[0], seen)
        return weights_of(STEPS.get("qat")(network, seen, report, **{**QUICK, **settings}))

    memory, events = Memory(), list[Event]()
    with pytest.raises(Stop):
        run(images(keeper=memory), stopping_after(1, "epoch"), {})
    got = run(images(keeper=memory), Report(events.append), OTHERS[other])
    assert same(got, run(images(), Report(), OTHERS[other]))
    texts = [event["text"] for event in events if event["event"] == "log"]
    assert any(f"other settings ({other}: " in text and "3-qat starts anew" in text for text in texts), texts


def test_neither_are_those_of_another_seed_recipe_network_or_step() -> None:
    def network_of(seen: Calibration, name: str = "add-relu", **settings: Any) -> Network:
        return quantized(built(name)[0], seen, **settings)

    memory = Memory()
    seen = images(keeper=memory)
    STEPS.get("qat")(network_of(seen), seen, Report(), **QUICK)
    for other, network, step, more in (
        (replace(seen, seed=1), network_of(seen), "qat", {}),
        (replace(seen, past="[another recipe]"), network_of(seen), "qat", {}),
        (seen, network_of(seen, bits=5), "qat", {}),
        (seen, network_of(seen, "conv-read-twice"), "qat", {}),
        (seen, network_of(seen), "qbitopt", {"weight_bits": 4}),
    ):
        kept = Memory()
        kept.states.update(memory.states)
        events: list[Event] = []
        STEPS.get(step)(network, replace(other, keeper=kept), Report(events.append), **{**QUICK, **more})
        assert any("starts anew" in event.get("text", "") for event in events)
        assert next(event for event in events if event["event"] == "training-started")["at"] == 0


def test_a_state_holds_plain_facts() -> None:
    import json

    memory = Memory()
    trained("qbitopt", images(keeper=memory), Report())
    facts = memory.states["3-qat"][1]
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    def run(seed: int) -> dict[str, Tensor]:
        return trained("plain", images(seed=seed), Report())

    assert same(run(0), run(0))
    assert not same(run(0), run(1))


def test_settings_that_are_told_apart_by_a_checkpoint_are_all_of_them() -> None:
    from qexplore.qat.checkpoint import owner_of
    from qexplore.qat.qbitopt import Allocation, Reallocation
    from qexplore.qat.quantizers import quantizers_of
    from qexplore.qat.training import Training

    seen = images()
    network = quantized(built("add-relu")[0], seen)
    training = Training(network, seen, Settings(**QUICK), quantizers_of(network, learn=True))
    owner = owner_of(training, [Reallocation(Allocation(weight_bits=4))])
    assert owner["reallocation.weight_bits"] == 4
    assert set(vars(Settings())) <= set(owner)


def test_a_first_allocation_that_comes_out_differently_does_not_cost_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another machine may add up in another order, and an old checkpoint may have been made by another solver."""
    expected = trained("qbitopt", images(), Report())
    memory, events = Memory(), list[Event]()
    with pytest.raises(Stop):
        trained("qbitopt", images(keeper=memory), stopping_after(0, "epoch"))
    plain, calls = qbitopt.best, list[int]()

    def other(plan: Limits, table: pd.DataFrame, locked: Mapping[str, int]) -> Answer:
        calls.append(1)
        return plain(replace(plan, weight_bits=2.5, activation_bits=6) if len(calls) == 1 else plan, table, locked)  # type: ignore[type-var]

    monkeypatch.setattr(qbitopt, "best", other)
    assert same(trained("qbitopt", images(keeper=memory), Report(events.append)), expected)
    assert next(event for event in events if event["event"] == "training-started")["at"] == 3


def test_a_checkpoint_without_a_newer_setting_goes_on_with_its_default() -> None:
    expected = trained("qbitopt", images(), Report())
    memory, events = Memory(), list[Event]()
    with pytest.raises(Stop):
        trained("qbitopt", images(keeper=memory), stopping_after(0, "epoch"))
    for name in ("reallocation.gradients", "reallocation.error", "noise"):
        assert memory.states["3-qat"][1]["owner"].pop(name)
    assert same(trained("qbitopt", images(keeper=memory), Report(events.append)), expected)
    assert next(event for event in events if event["event"] == "training-started")["at"] == 3


def test_no_clock_decides_an_allocation() -> None:
    table = random_table(27, 27, seed=2)
    budget = {"weight_bits": 4.1, "activation_bits": 4.1, "gbops": 0.95 * uniform(table, 4).cost["gbops"]}
    first = limits.best(Limits(**budget), table, {})
    assert not first.exact  # the search was given up
    assert "nodes" in first.note
    assert limits.best(Limits(**budget), table, {}).bits == first.bits


def test_a_checkpoint_from_before_a_setting_was_there_goes_on() -> None:
    memory, events = Memory(), list[Event]()
    expected = trained("plain", images(), Report())
    with pytest.raises(Stop):
        trained("plain", images(keeper=memory), stopping_after(0, "epoch"))
    for _, facts in memory.states.values():
        facts["owner"] = {k: v for k, v in facts["owner"].items() if k != "quantizer_optimizer"}
    assert same(trained("plain", images(keeper=memory), Report(events.append)), expected)
    assert next(event for event in events if event["event"] == "training-started")["at"] == 3


def test_a_checkpoint_from_before_gradients_were_compared_goes_on_from_its_traces() -> None:
    memory, events = Memory(), list[Event]()
    with pytest.raises(Stop):
        trained("qbitopt", images(keeper=memory), stopping_after(0, "epoch"))
    tensors, facts = memory.states["3-qat"]
    last = [name for name in tensors if name.startswith("reallocation/last.")]
    batches = facts["actors"]["reallocation"].pop("batches")
    assert facts["actors"]["reallocation"].pop("counted").keys() == batches.keys()
    assert {name.removeprefix("reallocation/last.") for name in last} == batches.keys()
    for name in last:
        del tensors[name]
    trained("qbitopt", images(keeper=memory), Report(events.append))
    assert next(event for event in events if event["event"] == "training-started")["at"] == 3
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2]
