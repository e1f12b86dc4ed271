"""Distillation, smoothing, averages and QuantNoise are what their formulas say."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.ptq import STEPS, Calibration
from qexplore.qat.losses import distance, mixed_loss, task_loss
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.training import Training
from qexplore.report import Report
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, done, quantized, watched


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(7, 5), (3, 5, 4, 2)])
def test_the_distance_is_zero_where_the_student_is_the_teacher(shape: tuple[int, ...], temperature: float) -> None:
    logits = numbers(*shape).requires_grad_()
    far = distance(logits, logits.detach() + 3.0, temperature)  # logits mean the same with a constant added
    assert float(far.detach()) == pytest.approx(0, abs=1e-12)
    (gradient,) = torch.autograd.grad(far, logits)
    assert torch.allclose(gradient, torch.zeros_like(gradient), atol=1e-12)
    assert float(distance(logits, numbers(*shape, seed=1), temperature).detach()) > 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_gradient_is_that_of_hintons_soft_targets_times_the_square_of_the_temperature(temperature: float) -> None:
    logits, teacher = numbers(7, 5).requires_grad_(), numbers(7, 5, seed=1)
    (got,) = torch.autograd.grad(distance(logits, teacher, temperature), logits)
    soft = F.cross_entropy(logits / temperature, (teacher / temperature).softmax(1))
    (expected,) = torch.autograd.grad(temperature**2 * soft, logits)
    assert torch.allclose(got, expected)
    by_hand = temperature * ((logits / temperature).softmax(1) - (teacher / temperature).softmax(1)) / 7
    assert torch.allclose(got, by_hand)


def test_at_high_temperatures_it_is_half_the_mean_square_between_centred_logits() -> None:
    logits, teacher = numbers(7, 5), numbers(7, 5, seed=1)
    centred = [each - each.mean(1, keepdim=True) for each in (logits, teacher)]
    expected = 0.5 * (centred[0] - centred[1]).square().mean(1).mean()
    assert float(distance(logits, teacher, 1000.0)) == pytest.approx(float(expected), rel=1e-2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_smoothing_is_torchs(smoothing: float) -> None:
    logits, labels = numbers(7, 5), torch.arange(7) % 5
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert float(task_loss(logits, labels, smoothing)) == pytest.approx(float(expected))


def test_shares_of_the_loss_are_mixed_in_a_straight_line() -> None:
    logits, labels, teacher = numbers(7, 5), torch.arange(7) % 5, numbers(7, 5, seed=1)
    ends = [float(mixed_loss(logits, labels, teacher, share, 2.0)) for share in (0.0, 1.0)]
    assert ends == pytest.approx([float(task_loss(logits, labels)), float(distance(logits, teacher, 2.0))])
    assert float(mixed_loss(logits, labels, teacher, 0.25, 2.0)) == pytest.approx(0.75 * ends[0] + 0.25 * ends[1])


class Pixels(nn.Module):
    """A class for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(F.relu(self.one(x)))


def masked() -> tuple[nn.Module, Calibration]:
    def part(count: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(count))
        y = x.argmax(1)
        y[:, 0] = 255  # not counted
        return x, y

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Pixels().eval()
    return model, Calibration(qx.Data(train=part(24), calibration=part(12), evaluation=part(4)))


def test_masks_are_learned_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = masked()
    judged = watched(monkeypatch, lambda training: training.held_out())
    settings = {"epochs": 8, "batch": 6, "rate": 0.1, "distill": 0.1}
    done(quantized(model, seen), seen, ("qat", {**settings, "rate": 0.0, "quantizer_rate": 0.0}))
    done(quantized(model, seen), seen, ("qat", settings))
    assert judged[1].loss < 0.9 * judged[0].loss
    assert judged[1].accuracy.metric == "miou"


def test_smoothing_of_masks_is_refused_in_one_sentence() -> None:
    model, seen = masked()
    with pytest.raises(QexploreError, match=r"^Labels of pixels are not smoothed: set smoothing to 0 .*\.$"):
        done(quantized(model, seen), seen, ("qat", {**QUICK, "smoothing": 0.1}))


def training_of(seen: Calibration | None = None, **settings: Any) -> Training:
    seen = seen or calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen)
    return Training(network, seen, Settings(**{**QUICK, **settings}), quantizers_of(network, learn=True))


def test_the_teacher_is_the_tasks_network_and_sees_what_the_student_sees() -> None:
    class Writing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(0).flatten(1)[:, :5]

    seen = calibration((3, 8, 8), teacher=Writing())
    one, other = training_of(seen, distill=0.5), training_of(seen)
    x, y = seen.data.tensors("train")
    before, logits = x.clone(), other.trainable(x)
    expected = mixed_loss(logits, y, torch.zeros(len(x), 5), 0.5, 4.0)
    assert float(one.loss(x, y).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.equal(x, before)


def test_a_teacher_may_view_its_images_in_plain_order() -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).view(len(x), 5, -1).mean(2) + x.view(x.size(0), -1)[:, :5]

    model = Viewing()
    training = training_of(calibration((3, 8, 8), teacher=model), distill=0.5)
    x, _ = training.calibration.data.tensors("train")
    assert training.teacher is not None
    with torch.no_grad():
        assert torch.allclose(training.teacher(x), model(x), atol=1e-6)


def test_without_a_task_the_teacher_is_the_real_network_at_the_start() -> None:
    seen = calibration((3, 8, 8))
    training = training_of(seen, distill=1.0)
    x, _ = seen.data.tensors("train")
    with torch.no_grad():
        for weight in training.trainable.weights.values():
            weight.add_(1.0)
    assert training.teacher is not None
    assert torch.allclose(training.teacher(x), built("add-relu")[0](x), atol=1e-4)


def test_the_average_is_its_closed_form() -> None:
    training = training_of(ema=0.6)
    weight = training.trainable.weights["stem"]
    values, decays = [weight.detach().clone()], []
    for at in range(1, 12):
        with torch.no_grad():
            weight.copy_(torch.full_like(weight, float(at)))
        training.average.update(at)
        values.append(weight.detach().clone())
        decays.append(min(0.6, (1 + at) / (10 + at)))
    expected = values[0]
    for decay, value in zip(decays, values[1:], strict=True):
        expected = decay * expected + (1 - decay) * value
    assert torch.allclose(training.average.values["weight.stem"], expected)
    with training.average.held():
        assert torch.allclose(weight, expected)
    assert torch.equal(weight, values[-1])


def test_the_average_is_what_is_judged_and_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calibration((3, 8, 8))
    found = watched(monkeypatch, lambda training: (training.average.values, training.trainable.latent()))
    network = done(quantized(built("add-relu")[0], seen), seen, ("qat", {**QUICK, "ema": 0.9, "rate": 0.1}))
    ((average, latent),) = found
    assert torch.allclose(network.layers["stem"].weight, average["weight.stem"])
    assert torch.equal(latent["weight.stem"], average["weight.stem"])


def test_noise_quantizes_its_share_of_the_weights_and_evaluation_all_of_them() -> None:
    seen = calibration((3, 8, 8))
    training = training_of(seen, noise=0.3)
    x, y = seen.data.tensors("train")
    shares, masks = [], []

    def watch(weight: Tensor, quantized: Tensor) -> Tensor:
        mixed = training._mixed(weight, quantized)
        moved = weight != quantized
        shares.append(float((mixed == quantized)[moved].double().mean()))
        masks.append((mixed == quantized).flatten()[:72])
        return mixed

    training.trainable.mixed = watch
    for training.batch in range(40):
        training.loss(x, y)
    assert sum(shares) / len(shares) == pytest.approx(0.3, abs=0.02)
    assert not torch.equal(masks[0], masks[3])  # drawn anew each step
    assert not torch.equal(masks[0], masks[1])  # and for each layer
    asked = len(shares)
    training.held_out()
    assert len(shares) == asked


def test_noise_is_the_same_when_a_step_is_done_again() -> None:
    seen = calibration((3, 8, 8))
    training = training_of(seen, noise=0.5)
    x, y = seen.data.tensors("train")
    first = float(training.loss(x, y).detach())
    training.batch = 1
    assert float(training.loss(x, y).detach()) != first
    training.batch = 0
    assert float(training.loss(x, y).detach()) == first


def test_a_training_learns() -> None:
    seen = calibration((3, 8, 8))
    events: list[dict[str, Any]] = []
    STEPS.get("qat")(quantized(built("add-relu")[0], seen), seen, Report(events.append), epochs=20, batch=8, rate=0.1)
    losses = [event["loss"] for event in events if event["event"] == "epoch"]
    assert losses[-1] < 0.9 * losses[0]
