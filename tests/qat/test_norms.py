"""Batch norms in training: what each way of handling them leaves alone, and what it must come out equal to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.numerics import Rows, Spec, apply_estimator, grid_of
from qexplore.ptq import Calibration
from qexplore.qat.finish import _reestimate
from qexplore.qat.norms import fold_statically, norms_of
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.trainable import Trainable
from qexplore.qat.training import Training
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, done, quantized, watched


def normed(seen: Calibration, *, negative: bool = False, **settings: object) -> tuple[nn.Module, Network]:
    model, _ = built("add-relu")
    with torch.no_grad():
        model.second[1].running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(0))
        if negative:
            model.second[1].weight[::3].mul_(-1)
    return model, quantized(model, seen, fold=False, **settings)  # type: ignore[arg-type]


@pytest.fixture
def seen() -> Calibration:
    return calibration((3, 8, 8))


def statistics(module: nn.Module) -> list[Tensor]:
    return [module.running_mean.clone(), module.running_var.clone(), module.weight.clone(), module.bias.clone()]


def test_neither_the_users_network_nor_its_modes_are_touched(seen: Calibration) -> None:
    model, network = normed(seen, negative=True)
    before, kept = copy.deepcopy(model.state_dict()), (model.second[1].eps, model.second[1].momentum)
    done(network, seen, ("qat", {**QUICK, "batch_norm": "keep", "rate": 0.5}))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert (model.second[1].eps, model.second[1].momentum, model.training) == (*kept, False)


def test_epsilon_and_momentum_are_the_users(seen: Calibration) -> None:
    model, _ = built("add-relu")
    model.second[1].eps, model.second[1].momentum = 0.3, 0.25
    network = quantized(model, seen, fold=False)
    (norm,) = norms_of(network).values()
    assert (norm.eps, norm.momentum) == (0.3, 0.25)


@pytest.mark.parametrize("mode", ["static", "frozen"])
def test_statistics_that_are_not_trained_stay(mode: str, seen: Calibration) -> None:
    _, network = normed(seen)
    if mode == "static":
        network = done(network, seen, "fold-bn")
        assert not any(op.kind == "batchnorm" for op in network.graph.ops)
        return
    trainable = Trainable(network, quantizers_of(network, learn=True), mode)
    before = {name: value.clone() for name, value in trainable.buffers().items()}
    trainable(seen.data.tensors("train")[0]).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in trainable.buffers().items())


@pytest.mark.parametrize("mode", ["keep", "double-forward"])
def test_statistics_move_in_training_and_never_in_evaluation(mode: str, seen: Calibration) -> None:
    _, network = normed(seen)
    training = Training(network, seen, Settings(**QUICK, batch_norm=mode), quantizers_of(network, learn=True))
    before = {name: value.clone() for name, value in training.trainable.buffers().items()}
    training.held_out()
    with training.evaluating():
        training.trainable.observe(seen.data.tensors("train")[0])
    assert all(torch.equal(value, before[name]) for name, value in training.trainable.buffers().items())
    training.trainable(seen.data.tensors("train")[0])
    assert not any(torch.equal(value, before[name]) for name, value in training.trainable.buffers().items())


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("mode", ["keep", "frozen", "double-forward"])
def test_real_numbers_are_those_of_the_module_in_training_and_in_evaluation(
    mode: str, negative: bool, seen: Calibration
) -> None:
    model, network = normed(seen, negative=negative)
    trainable = Trainable(network, {}, mode)
    x = seen.data.tensors("train")[0]
    theirs = copy.deepcopy(model).train(mode != "frozen")
    assert torch.allclose(trainable(x), theirs(x), atol=1e-4)
    (norm,) = trainable.norms.values()
    theirs.eval()
    trainable.training = False
    assert torch.allclose(trainable(x), theirs(x), atol=1e-4)
    assert torch.allclose(norm.variance, theirs.second[1].running_var, rtol=1e-4)
    assert torch.allclose(norm.mean.abs(), theirs.second[1].running_mean.abs(), atol=1e-5)


def test_double_forward_on_statistics_equal_to_those_of_the_batch_is_static_folding(seen: Calibration) -> None:
    model, _ = built("add-relu")
    x = seen.data.tensors("train")[0]
    with torch.no_grad():
        # With real weights and inputs the statistics of a layer's output are known beforehand.
        y = model.second[0](model.stem(x))
        model.second[1].running_mean.copy_(y.mean((0, 2, 3)))
        model.second[1].running_var.copy_(y.var((0, 2, 3), correction=0))
    double, static = (quantized(model, seen, fold=fold) for fold in (False, True))
    weight = "second.0.weight"
    for network in (double, static):
        network.set_bits({site.name: None for site in network.sites if site.name != weight})
    fitted = quantizers_of(static, learn=True)
    one, other = Trainable(double, fitted, "double-forward"), Trainable(static, fitted, "static")
    assert torch.allclose(one(x), other(x), atol=1e-4)


def test_what_is_estimated_anew_is_the_mean_over_batches_of_the_quantized_network(seen: Calibration) -> None:
    _, network = normed(seen)
    settings = Settings(**QUICK, batch_norm="keep", reestimate=2, noise=0.3)
    training = Training(network, seen, settings, quantizers_of(network, learn=True))
    trainable = training.trainable
    (norm,) = trainable.norms.values()
    norm.mean.fill_(77.0)
    means, variances = [], []
    layer, second = network.layers["second.0"], trainable.quantizers["second.0.weight"]
    for x, _ in list(training.images.epoch(settings.epochs))[:2]:
        stem = trainable.quantizers["stem.out"]
        with training.evaluating():  # all weights are quantized there
            inside = trainable.observe(x)["stem.out"]
        codes = stem.round(inside / stem.scale, stem.scale)
        y = layer.forward(codes * stem.scale, second.weight(layer.weight), layer.bias)
        means.append(y.mean((0, 2, 3)))
        variances.append(y.var((0, 2, 3)))
    norm.mean.fill_(77.0)
    with torch.no_grad():
        _reestimate(training)
    assert torch.allclose(norm.mean, torch.stack(means).mean(0), atol=1e-4)
    assert torch.allclose(norm.variance, torch.stack(variances).mean(0), rtol=1e-4)
    assert norm.momentum == 0.1


def test_estimating_anew_holds_one_batch_at_a_time(seen: Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    _, network = normed(seen)
    settings = Settings(**QUICK, batch_norm="keep", reestimate=2)
    training = Training(network, seen, settings, quantizers_of(network, learn=True))
    order: list[str] = []
    drawn, passed = training.images.epoch, Trainable.__call__

    def epoch(*given: int) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in drawn(*given):
            order.append("drawn")
            yield batch

    def call(trainable: Trainable, x: Tensor) -> Tensor:
        order.append("passed")
        return passed(trainable, x)

    monkeypatch.setattr(training.images, "epoch", epoch)
    monkeypatch.setattr(Trainable, "__call__", call)
    with torch.no_grad():
        _reestimate(training)
    assert order == ["drawn", "passed"] * 2


@pytest.mark.parametrize("mode", ["keep", "frozen"])
@pytest.mark.parametrize("granularity", ["tensor", 4])
def test_norms_that_scale_channels_need_weights_with_a_range_a_channel(
    mode: str, granularity: str | int, seen: Calibration
) -> None:
    _, network = normed(seen, weights={"granularity": granularity})
    with pytest.raises(QexploreError, match=r"one range a channel: set weights\.granularity to channel, or batch_norm"):
        done(network, seen, ("qat", {**QUICK, "batch_norm": mode}))


def test_a_norm_without_gain_is_refused_in_one_sentence_and_folded_statically(seen: Calibration) -> None:
    model, _ = built("add-relu")
    model.second[1] = nn.BatchNorm2d(8, affine=False).eval()
    with pytest.raises(QexploreError, match="has no gain and shift to train: put the step 'fold-bn' first"):
        done(quantized(model, seen, fold=False), seen, ("qat", {**QUICK, "batch_norm": "keep"}))
    done(quantized(model, seen, fold=False), seen, ("qat", QUICK))


class TwoNorms(nn.Module):
    """A convolution and two batch norms in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)
        nn.init.uniform_(self.one.weight, 0.5, 1.5)
        nn.init.uniform_(self.two.weight, 2, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.two(self.one(self.conv(x)))).mean((2, 3)))


class Perceptron(nn.Module):
    """A batch norm behind a linear layer, so that it has one value a channel of each image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.first(x))))


class Tied(nn.Module):
    """A convolution that is called twice, each time with a batch norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.one, self.two, self.head = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.Linear(8, 5)
        nn.init.uniform_(self.two.weight, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.one(self.again(torch.relu(self.stem(x)))))
        return self.head(torch.relu(self.two(self.again(x))).mean((2, 3)))


def made(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind().eval()


BUDGET = {"kb": 0.9, "every": 1, "freeze": 0.0}


def what_trainings_say(x: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The logits of `x` at the end of each training from now on."""

    def said(training: Training) -> Tensor:
        with torch.no_grad(), training.evaluating():
            return training.trainable(x.clone())

    return watched(monkeypatch, said)


@pytest.mark.parametrize("step", ["qat", "qbitopt"])
@pytest.mark.parametrize("mode", ["keep", "frozen", "double-forward"])
def test_of_two_norms_in_a_row_none_is_kept_and_that_is_told(mode: str, step: str, seen: Calibration) -> None:
    network = quantized(made(TwoNorms), seen, fold=False)
    words = r"'two' follows another, 'one', .* set batch_norm to static, or put the step 'fold-bn' first"
    with pytest.raises(QexploreError, match=words):
        done(network, seen, (step, {**QUICK, "batch_norm": mode, **(BUDGET if step == "qbitopt" else {})}))


@pytest.mark.parametrize("step", ["qat", "qbitopt"])
@pytest.mark.parametrize(("mode", "before"), [("static", []), ("keep", ["fold-bn"])])
def test_two_norms_in_a_row_are_folded_one_after_the_other(
    mode: str, before: list[str], step: str, seen: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = seen.data.tensors("calibration")[0]
    found = what_trainings_say(x, monkeypatch)
    network = Network.of(made(TwoNorms), x[:1], Spec(bits=4, granularity="channel"), Spec(bits=4, symmetric=False))
    network = done(network, seen, *before, "weight-ranges", "activation-ranges")
    settings = {**QUICK, "batch_norm": mode, **(BUDGET if step == "qbitopt" else {})}
    network = done(network, seen, (step, settings))
    assert not any(op.kind == "batchnorm" for op in network.graph.ops)
    assert set(network.bits) == {site.name for site in network.sites}
    far = (network(x) - found[0]).abs()
    assert float(far.median()) < 1e-5 * float(found[0].abs().max())


def test_a_site_that_comes_to_act_behind_a_second_norm_is_calibrated_there(seen: Calibration) -> None:
    first, after = (quantized(made(TwoNorms), seen, fold=False) for _ in range(2))
    done(first, seen, "fold-bn", "fold-bn", "weight-ranges", "activation-ranges")
    fold_statically(after, seen)
    torch.testing.assert_close(first.samples["conv.out"].sort().values, after.samples["conv.out"].sort().values)


@pytest.mark.parametrize("step", ["qat", "prune"])
@pytest.mark.parametrize("mode", ["keep", "double-forward"])
def test_one_value_a_channel_is_no_batch_for_a_norm(mode: str, step: str) -> None:
    few = calibration((6,), images=4)
    network = Network.of(made(Perceptron), few.data.batch_of("train", [0])[0])
    if step == "qat":
        network = quantized(made(Perceptron), few, fold=False)
    with pytest.raises(QexploreError, match=r"one value a channel in a batch of one image.*set batch to 2 or more"):
        done(network, few, (step, {**QUICK, "batch": 1, "batch_norm": mode}))


@pytest.mark.parametrize(("mode", "batch"), [("keep", 2), ("frozen", 1), ("static", 1)])
def test_two_values_a_channel_are_a_batch_and_a_frozen_norm_needs_none(mode: str, batch: int) -> None:
    few = calibration((6,), images=4)
    network = quantized(made(Perceptron), few, fold=False)
    done(network, few, ("qat", {"epochs": 1, "rate": 1e-4, "batch": batch, "batch_norm": mode}))


@pytest.mark.parametrize("mode", ["keep", "frozen", "double-forward"])
def test_a_budget_is_not_kept_by_a_weight_that_its_norms_would_tell_apart(mode: str, seen: Calibration) -> None:
    network = quantized(made(Tied), seen, fold=False)
    words = r"share the weight 'again\.weight' .* set batch_norm to static, or put the step 'fold-bn' first"
    with pytest.raises(QexploreError, match=words):
        done(network, seen, ("qbitopt", {**QUICK, **BUDGET, "batch_norm": mode}))


@pytest.mark.parametrize("mode", ["keep", "frozen", "double-forward"])
def test_without_a_budget_such_a_weight_becomes_several_that_say_what_the_training_said(
    mode: str, seen: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = seen.data.tensors("calibration")[0]
    found = what_trainings_say(x, monkeypatch)
    network = done(quantized(made(Tied), seen, fold=False, bits=8), seen, ("qat", {**QUICK, "batch_norm": mode}))
    assert float((network(x) - found[0]).abs().median()) < 1e-5 * float(found[0].abs().max())


def test_bits_are_not_allocated_to_a_weight_that_its_norms_will_tell_apart(seen: Calibration) -> None:
    network = quantized(made(Tied), seen, fold=False)
    with pytest.raises(QexploreError, match=r"'again\.weight' .* put the step 'fold-bn' before 'allocate-bits'"):
        done(network, seen, ("allocate-bits", {"kb": 0.9}))
    done(quantized(made(Tied), seen), seen, ("allocate-bits", {"kb": 0.9}))


class NoGain(TwoNorms):
    """A convolution and a batch norm that has no gain and shift."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.BatchNorm2d(8, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.one(self.conv(x))).mean((2, 3)))


@pytest.mark.parametrize(
    ("kind", "shape", "settings", "said"),
    [
        (TwoNorms, (3, 8, 8), {}, "follows another"),
        (Tied, (3, 8, 8), {}, "share the weight"),
        (NoGain, (3, 8, 8), {}, "has no gain and shift to train"),
        (Perceptron, (6,), {"batch": 1}, "one value a channel in a batch of one image"),
        (Perceptron, (6,), {"kb": 0.001}, "the least that is possible is"),
    ],
)
def test_qbitopt_refuses_before_it_computes_a_first_allocation(
    kind: type[nn.Module],
    shape: tuple[int, ...],
    settings: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("sensitivities were computed first")

    monkeypatch.setattr("qexplore.qat.qbitopt.fit_of", never)
    few = calibration(shape)
    network = quantized(made(kind), few, fold=False)
    with pytest.raises(QexploreError, match=said):
        done(network, few, ("qbitopt", {**QUICK, **BUDGET, "batch_norm": "keep", **settings}))


def test_gains_stay_positive(seen: Calibration) -> None:
    _, network = normed(seen, negative=True)
    trainable = Trainable(network, quantizers_of(network, learn=True), "keep")
    (norm,) = trainable.norms.values()
    assert bool((norm.gain > 0).all())
    norm.gain.data.sub_(100)
    trainable.hold()
    assert bool((norm.gain > 0).all())


@pytest.mark.parametrize("mode", ["keep", "frozen", "double-forward"])
def test_a_training_starts_from_grids_that_fit_the_kernels_whose_sign_was_changed(
    mode: str, seen: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Tensor, Tensor]] = []

    def look(network: Network, *given: Any, **_: Any) -> Network:
        quantizers = given[3]
        trainable = Trainable(network, quantizers, mode)
        weight, quantizer = trainable.facing("second.0"), quantizers["second.0.weight"]
        rows = Rows.of(quantizer.spec.slices(weight))
        best = grid_of(quantizer.spec, apply_estimator(rows, quantizer.spec, "mse", {}))
        found.append((quantizer.scale.detach(), best.scale))
        return network

    monkeypatch.setattr("qexplore.qat.steps.fine_tune", look)
    _, network = normed(seen, negative=True, bits=3)
    done(network, seen, ("qat", {**QUICK, "batch_norm": mode}))
    ((scale, best),) = found
    torch.testing.assert_close(scale, best)
