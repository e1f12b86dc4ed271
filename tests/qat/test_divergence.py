"""A training that leads nowhere says where it broke and what to do, and keeps what there was before."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from qexplore.network import Judged, Network
from qexplore.ptq import STEPS, Calibration
from qexplore.qat import training as trainings
from qexplore.qat.divergence import check, check_alive
from qexplore.qat.errors import Diverged
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.report import Event, Report
from tests.network.nets import built
from tests.qat.small import QUICK, Memory, calibration, quantized

SENTENCE = (
    r"^The training '\w+' diverged at step \d+ \(epoch \d\): .*; .* site .*\. Start again with a smaller rate, such as "
)


def run(settings: dict[str, Any], *, step: str = "qat", report: Report | None = None, **more: Any) -> Network:
    seen = calibration((3, 8, 8), key="0-qat", **more)
    return STEPS.get(step)(quantized(built("add-relu")[0], seen), seen, report or Report(), **{**QUICK, **settings})


@pytest.mark.parametrize("step", ["qat", "qbitopt"])
@pytest.mark.parametrize("rate", [9.0, 10.0])
def test_a_rate_far_too_large_is_named_with_a_smaller_one(rate: float, step: str) -> None:
    budget = {"weight_bits": 4} if step == "qbitopt" else {}
    with pytest.raises(Diverged, match=SENTENCE) as told:
        run({"rate": rate, "momentum": 0.99, "epochs": 30, "schedule": "constant", **budget}, step=step)
    assert f"rate={rate / 10:.2g}" in str(told.value)
    assert "quantizer_rate=0.0002" in str(told.value) or "same answer" in str(told.value)


def poisoned(monkeypatch: pytest.MonkeyPatch, where: str, at: int) -> None:
    """Puts a NaN into a parameter after the step `at`."""
    original = trainings.Training.step

    def step(self: trainings.Training, loss: float) -> None:
        original(self, loss)
        if self.at == at:
            named = {**self.trainable.latent(), **self.trainable.learned(), **self.trainable.buffers()}
            with torch.no_grad():
                named[where][(0,) * named[where].dim()] = float("nan")

    monkeypatch.setattr(trainings.Training, "step", step)


PLACES = {
    "weight.second.0": "second.0.weight",
    "size.second.0.weight": "second.0.weight",
    "size.add.out": "add.out",
    "offset.stem.out": "stem.out",
}


@pytest.mark.parametrize("at", [1, 3, 4, 6])  # 3 and 6 are the last of their epochs
@pytest.mark.parametrize("where", PLACES)
def test_nan_is_found_at_once_with_the_site_and_never_gets_into_a_checkpoint(
    where: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, where, at)
    memory = Memory()
    with pytest.raises(Diverged) as told:
        run({}, keeper=memory)
    assert f"at step {at} " in str(told.value)
    assert f"the first site with numbers that are not finite is {PLACES[where]!r}" in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    kept = memory.states.get("0-qat")
    assert (kept is not None) == (at > 3)
    if kept is not None:
        assert kept[1]["at"] == 3
        assert all(bool(torch.isfinite(value).all()) for value in kept[0].values() if value.is_floating_point())


BESIDES = {
    "bias.second.0": "bias of the layer 'second.0'",
    "gain.second.1": "gain of the batch norm 'second.1'",
    "variance.second.1": "running variance of the batch norm 'second.1'",
}


@pytest.mark.parametrize("where", BESIDES)
def test_nan_outside_of_weights_and_grids_is_named_too(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    poisoned(monkeypatch, where, 2)
    seen, mode = calibration((3, 8, 8)), "static" if where.startswith("bias") else "frozen"
    network = quantized(built("add-relu")[0], seen, fold=mode == "static")
    with pytest.raises(Diverged) as told:
        STEPS.get("qat")(network, seen, Report(), **QUICK, batch_norm=mode)
    assert f"the numbers are finite, but not the {BESIDES[where]}" in str(told.value)


def test_where_hardly_anything_has_changed_no_site_is_blamed() -> None:
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen)
    training = trainings.Training(network, seen, Settings(**QUICK), quantizers_of(network, learn=True), "qbitopt")
    check(training, 1.0)
    with pytest.raises(
        Diverged, match=r"^The training 'qbitopt' diverged .* no site have grown or shrunk by more than"
    ):
        check(training, 1000.0)


def test_what_is_wrong_where_nearly_all_is_pruned_is_the_pruning() -> None:
    seen = calibration((3, 8, 8))
    network = Network.of(built("add-relu")[0], seen.data.batch_of("train", [0])[0])
    with pytest.raises(Diverged) as told:
        STEPS.get("prune")(network, seen, Report(), sparsity=0.9999, end=0.1, every=1, **QUICK)
    assert "% of the weights are pruned" in str(told.value)
    assert "or prune less." in str(told.value)
    assert "equalize" not in str(told.value)


def test_what_was_kept_before_goes_on_where_the_reason_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, events = Memory(), list[Event]()
    with monkeypatch.context() as patch:
        poisoned(patch, "weight.stem", 5)
        with pytest.raises(Diverged):
            run({}, keeper=memory)
    run({}, keeper=memory, report=Report(events.append))
    assert next(event for event in events if event["event"] == "training-started")["at"] == 3
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2]


def test_a_loss_that_is_infinite_on_the_first_step_is_told_too() -> None:
    model, _ = built("add-relu")
    seen = calibration((3, 8, 8))
    network = quantized(model, seen)
    network.set_bits({site.name: None for site in network.sites if site.kind == "activation"})
    network.set_layer("head", network.layers["head"].weight, torch.full((5,), 3e38) * torch.tensor([1, -1, 1, -1, 1]))
    with pytest.raises(Diverged, match=r"step 0 \(epoch 1\): the loss is (inf|nan)"):
        STEPS.get("qat")(network, seen, Report(), **QUICK)


class Dead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 8), nn.Linear(8, 5)
        with torch.no_grad():
            self.one.bias.fill_(-100.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(x)))


def test_a_network_whose_units_are_all_off_is_told_with_the_site_where_it_goes_silent() -> None:
    seen: Calibration = calibration((6,))
    with pytest.raises(
        Diverged, match=r"every held-out image is given the same answer; the first site .* is 'one.out'"
    ):
        STEPS.get("qat")(quantized(Dead().eval(), seen), seen, Report(), **QUICK)


def test_a_large_first_loss_is_no_divergence() -> None:
    model, _ = built("add-relu")
    with torch.no_grad():
        model.head.weight.mul_(30)
    seen = calibration((3, 8, 8))
    events: list[Event] = []
    STEPS.get("qat")(quantized(model, seen), seen, Report(events.append), **{**QUICK, "rate": 1e-4})
    assert next(event["loss"] for event in events if event["event"] == "epoch") > 5


def test_the_remedy_is_smaller_than_what_was_asked() -> None:
    with pytest.raises(Diverged) as told:
        run({"rate": 10.0, "momentum": 0.99, "epochs": 30, "schedule": "constant"})
    (rate,) = re.findall(r" rate=([\d.e-]+)", str(told.value))
    assert float(rate.rstrip(".")) < 10


def test_a_remedy_is_a_smaller_rate_even_where_the_schedule_has_come_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = trainings.Training.held_out

    def worse(self: trainings.Training, *given: Any) -> Any:
        judged = original(self, *given)
        return replace(judged, loss=judged.loss * (1000 if self.epoch else 1))

    monkeypatch.setattr(trainings.Training, "held_out", worse)
    with pytest.raises(Diverged, match=r"rate=0\.001 and quantizer_rate=0\.0002"):
        run({"rate": 0.01})


def test_a_distance_to_the_fp32_network_is_not_compared_with_a_cross_entropy() -> None:
    seen = calibration((3, 8, 8), teacher=built("add-relu")[0])
    network = quantized(built("add-relu")[0], seen)
    training = trainings.Training(network, seen, Settings(**QUICK, distill=1.0), quantizers_of(network, learn=True))
    right = torch.ones(24, dtype=torch.bool)
    check(training, 0.01)  # a step's distance
    check_alive(training, Judged(right, 8.0))  # as far from the labels as FP32 may be
    check_alive(training, Judged(right, 100.0))
    with pytest.raises(Diverged):
        check_alive(training, Judged(right, 170.0))
