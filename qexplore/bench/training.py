"""A step of quantization-aware training against a step of plain FP32 training of the same network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.bench.timing import BENCHES, medians
from qexplore.network import Network
from qexplore.network.graph import channels_last
from qexplore.ptq import STEPS, Calibration
from qexplore.qat.norms import KEEP, STATIC
from qexplore.qat.oscillation import Oscillation
from qexplore.qat.qbitopt import Allocation, Reallocation
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.training import Actors, Training
from qexplore.report import Report
from qexplore.zoo import Data
from qexplore.zoo.models import mobilenet, resnet

BATCH = 128
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet20-cifar10": resnet.resnet20_cifar10,
    "mobilenetv2-cifar10": mobilenet.mobilenetv2_cifar10,
}
EVERY = 250  # QBitOpt's τ


@BENCHES.register("training")
def training(report: Report) -> dict[str, float]:
    """One optimizer step at W4A4, scales and zero points learned, weights moved / the step in FP32, on random images.

    Batch norms kept: against the network as PyTorch trains it, in train mode, channels last. Batch norms folded:
    against the same folded network in FP32, which has fewer passes over memory. qbitopt/qat: with the gradients'
    squares summed, and a 250th of a re-allocation, over the step without. Both with the meter of oscillation.
    """
    found: dict[str, float] = {}
    for name in report.track(list(NETWORKS), "training"):
        found |= _of(name)
    return found


def _of(name: str) -> dict[str, float]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = NETWORKS[name]()
        images = (torch.randn(2 * BATCH, 3, 32, 32), torch.randint(10, (2 * BATCH,)))
    data = Data(train=images, calibration=images)
    kept, folded = (_Work(model, data, mode, quantized=True) for mode in (KEEP, STATIC))
    real = _Work(model, data, STATIC, quantized=False)
    mixed = _Work(model, data, STATIC, quantized=True, every=EVERY)
    plain = _plain(model, kept.x, kept.y)
    works = {"plain": plain, "kept": kept.step, "real": real.step, "folded": folded.step, "mixed": mixed.step}
    times = medians(works, repeats=7)
    again = medians({"allocation": mixed.allocate}, repeats=3, uncounted=1)["allocation"]
    return {
        f"qat/fp32 step, batch norms kept {name}": times["kept"] / times["plain"],
        f"qat/fp32 step, batch norms folded {name}": times["folded"] / times["real"],
        f"qbitopt/qat step {name}": (times["mixed"] + again / EVERY) / times["folded"],
    }


class _Work:
    """A training whose single steps can be carried out."""

    def __init__(self, model: nn.Module, data: Data, mode: str, *, quantized: bool, every: int = 0) -> None:
        calibration = Calibration(data, batch=BATCH)
        network = Network.of(model, next(data.batches("train", size=1))[0])
        for step in (["fold-bn"] if mode == STATIC else []) + ["weight-ranges", "activation-ranges"]:
            STEPS.get(step)(network, calibration, Report())
        network.set_bits({site.name: 4 if quantized else None for site in network.sites})
        settings = Settings(batch=BATCH, batch_norm=mode, rate=1e-4)
        self.training = Training(network, calibration, settings, quantizers_of(network, learn=True))
        budget = Allocation(weight_bits=4, activation_bits=4, every=10**6)
        self.allocation = Reallocation(budget) if every else None
        self.actors: Actors = [Oscillation(), *([self.allocation] if self.allocation else [])]
        for actor in self.actors:
            actor.begin(self.training)
        x, self.y = next(data.batches("train", size=BATCH))
        self.x = channels_last(x)

    def step(self) -> None:
        """Forward, backward, what the actors do, and the optimizers."""
        training = self.training
        loss = training.loss(self.x, self.y)
        training.optimizers.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        for actor in self.actors:
            actor.after_backward(training)
        training.step(float(loss.detach()))
        for actor in self.actors:
            actor.after_step(training)

    def allocate(self) -> None:
        assert self.allocation is not None
        self.allocation.allocate(self.training)


def _plain(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], Any]:
    """A step of the module itself in train mode."""
    module = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def step() -> None:
        loss = nn.functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step
