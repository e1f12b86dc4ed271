"""The meter of oscillation, damping and freezing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from qexplore.numerics import integers
from qexplore.qat.oscillation import MOMENTUM, Oscillation
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.training import Training
from qexplore.report import Event
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, done, quantized, watched


def training_of(mode: str = "static", *, ema: float = 0.0, **weights: Any) -> Training:
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen, fold=mode == "static", weights=weights)
    quantizers = quantizers_of(network, learn=True)
    return Training(network, seen, Settings(**QUICK, batch_norm=mode, ema=ema), quantizers)


def put(training: Training, code: float) -> None:
    """Gives the first weight of the stem the value that stands for `code`."""
    weight, quantizer = training.trainable.weights["stem"], training.trainable.quantizers["stem.weight"]
    with torch.no_grad():
        weight[0, 0, 0, 0] = code * float(quantizer.steps_of(weight).reshape(-1)[0])


@pytest.mark.parametrize("granularity", ["tensor", "channel", 4])
def test_a_weight_that_alternates_oscillates_and_one_that_drifts_does_not(granularity: str | int) -> None:
    training, actor = training_of(granularity=granularity), Oscillation()
    put(training, 0)
    actor.begin(training)
    for step in range(600):
        put(training, step % 2)
        actor.after_step(training)
    site = actor._sites["stem.weight"]
    assert float(site.share[0, 0, 0, 0]) > 0.99
    assert float(site.share.sum()) == pytest.approx(float(site.share[0, 0, 0, 0]))
    (event,) = actor.after_epoch(training)
    assert event["sites"]["stem.weight"] == pytest.approx(1 / training.trainable.weights["stem"].numel())
    assert event["sites"]["head.weight"] == 0
    drifting = Oscillation()
    put(training, -7)
    drifting.begin(training)
    for step in range(15):
        put(training, -7 + step)
        drifting.after_step(training)
    assert float(drifting._sites["stem.weight"].share.abs().max()) == 0


def test_the_share_is_a_moving_mean() -> None:
    training, actor = training_of(), Oscillation()
    put(training, 0)
    actor.begin(training)
    for code in (1, 0):  # the second step turns back
        put(training, code)
        actor.after_step(training)
    assert float(actor._sites["stem.weight"].share.max()) == pytest.approx(MOMENTUM)


@pytest.mark.parametrize("mode", ["static", "keep", "double-forward"])
def test_damping_is_the_gradient_of_the_squared_distance_to_the_codes(mode: str) -> None:
    training, actor = training_of(mode), Oscillation(damping=0.7)
    trainable, layer = training.trainable, "second.0"
    quantizer = trainable.quantizers[f"{layer}.weight"]
    actor.after_backward(training)
    got = trainable.weights[layer].grad
    weight = trainable.weights[layer].detach().clone().requires_grad_()
    facing = weight * trainable.factor(layer)
    scale = quantizer.steps_of(facing)
    low, high = quantizer.spec.qmin * scale, quantizer.spec.qmax * scale
    inside = torch.minimum(torch.maximum(facing, low), high)
    (expected,) = torch.autograd.grad(0.7 * (inside - quantizer.codes(facing) * scale).square().sum(), weight)
    assert got is not None
    assert torch.allclose(got, expected, atol=1e-6)
    assert float(got.abs().max()) > 0


def test_damping_pulls_weights_to_their_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    def distance(training: Training) -> float:
        it, weight = training.trainable.quantizers["stem.weight"], training.trainable.weights["stem"].detach()
        return float((weight - it.codes(weight) * it.steps_of(weight)).square().mean())

    seen = calibration((3, 8, 8))
    found = watched(monkeypatch, distance)
    for damping in (0.0, 1.0):
        settings = {"epochs": 6, "batch": 8, "rate": 0.05, "damping": damping}
        done(quantized(built("add-relu")[0], seen), seen, ("qat", settings))
    assert found[1] < 0.6 * found[0]


@pytest.mark.parametrize("mode", ["static", "double-forward"])
def test_a_frozen_weight_never_changes_its_code_again(mode: str) -> None:
    training, actor = training_of(mode), Oscillation(freezing=0.02)
    actor.begin(training)
    generator = torch.Generator().manual_seed(0)
    site, frozen, codes = "second.0.weight", None, None
    quantizer = training.trainable.quantizers[site]
    weight = training.trainable.weights["second.0"]
    for _ in range(60):
        with torch.no_grad():
            noise = torch.randn(weight.shape, generator=generator)
            weight.add_(0.7 * noise * quantizer.steps_of(weight) / training.trainable.factor("second.0"))
            quantizer.size.mul_(1 + 0.01 * torch.randn(quantizer.size.shape, generator=generator))
        actor.after_step(training)
        now = quantizer.codes(training.trainable.facing("second.0"))
        if frozen is not None:
            assert torch.equal(now[frozen], codes[frozen])
        frozen, codes = actor._sites[site].frozen > 0, now
    assert frozen is not None
    assert 0.1 < float(frozen.float().mean()) <= 1


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize(("mode", "reestimate"), [("static", 0), ("keep", 0), ("keep", 2), ("double-forward", 0)])
def test_what_is_kept_has_frozen_weights_on_the_code_at_which_they_were_frozen(
    mode: str, reestimate: int, ema: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    original = Oscillation.after_step

    def after_step(actor: Oscillation, training: Training) -> list[Event]:
        told = original(actor, training)
        held.update({name: (site.frozen.clone(), site.held) for name, site in actor._sites.items()})
        return told

    monkeypatch.setattr(Oscillation, "after_step", after_step)
    monkeypatch.setattr("qexplore.qat.oscillation.MOMENTUM", 0.2)
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen, fold=mode == "static")
    settings = {"epochs": 12, "batch": 4, "rate": 0.01, "quantizer_rate": 0.01, "freezing": 0.1, "ema": ema}
    done(network, seen, ("qat", {**settings, "batch_norm": mode, "reestimate": reestimate}))
    assert sum(int(frozen.sum()) for frozen, _ in held.values()) > 20
    for name, (frozen, codes) in held.items():
        spec, interval, *_ = network.fitted(network.site(name), network.bits[name])
        kept = integers(network.layers[network.site(name).layer].weight, spec, interval)
        assert torch.equal(kept[frozen].float(), codes[frozen])


def test_what_is_judged_in_training_has_frozen_weights_on_their_codes() -> None:
    training, actor = training_of(ema=0.99), Oscillation(freezing=0.02)
    put(training, 3)
    actor.begin(training)
    actor._sites["stem.weight"].frozen[0, 0, 0, 0] = True
    actor.after_step(training)
    training.average.values["weight.stem"].fill_(0)
    before = training.trainable.weights["stem"].detach().clone()
    with training.evaluating():
        codes = training.trainable.quantizers["stem.weight"].codes(training.trainable.facing("stem"))
        assert float(codes[0, 0, 0, 0]) == 3
        assert float(codes.abs().sum()) == 3
    assert torch.equal(training.trainable.weights["stem"], before)


def test_other_bits_mean_other_codes() -> None:
    training, actor = training_of(), Oscillation()
    actor.begin(training)
    training.trainable.quantizers["stem.weight"].set_bits(2)
    actor.after_step(training)
    assert float(actor._sites["stem.weight"].share.max()) == 0
    assert actor._sites["stem.weight"].bits == 2


def test_what_nobody_asked_for_is_not_kept() -> None:
    training, plain, freezing = training_of(), Oscillation(), Oscillation(freezing=0.02)
    sizes = {}
    for actor in (plain, freezing):
        actor.begin(training)
        actor.after_step(training)
        tensors, _ = actor.state()
        sizes[actor] = sum(value.numel() * value.element_size() for value in tensors.values())
    weights = sum(training.trainable.weights[name].numel() for name in training.network.layers)
    assert sizes[plain] == weights * (2 + 1 + 4)
    assert sizes[freezing] == weights * (2 + 1 + 4 + 4 + 1)


def test_the_meter_knows_all_codes_of_sixteen_bits() -> None:
    training, actor = training_of(bits=16), Oscillation()
    put(training, 0)
    actor.begin(training)
    for step in range(600):
        put(training, 30_000 * (-1) ** step)
        actor.after_step(training)
    assert float(actor._sites["stem.weight"].share[0, 0, 0, 0]) > 0.99
