"""Batch norms in training: what each way of handling them leaves alone, and what it must come out equal to."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.ptq import Calibration
from qexplore.qat.finish import _reestimate
from qexplore.qat.norms import norms_of
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.trainable import Trainable
from qexplore.qat.training import Training
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, done, quantized


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


def test_gains_stay_positive(seen: Calibration) -> None:
    _, network = normed(seen, negative=True)
    trainable = Trainable(network, quantizers_of(network, learn=True), "keep")
    (norm,) = trainable.norms.values()
    assert bool((norm.gain > 0).all())
    norm.gain.data.sub_(100)
    trainable.hold()
    assert bool((norm.gain > 0).all())
