"""Small trainings: a network of a handful of layers, a dozen images, a few steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.numerics import Spec
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.steps import State
from qexplore.qat import loop
from qexplore.qat.training import Training
from qexplore.report import Event, Report
from tests.network.nets import built

QUICK = {"epochs": 2, "batch": 8, "rate": 0.01}
IMAGES = 24


class Memory:
    """Keeps states in memory, as they were when they were saved."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.saved = 0

    def load(self, key: str) -> State | None:
        return self.states.get(key)

    def save(self, key: str, state: State) -> None:
        self.saved += 1
        self.states[key] = ({name: value.clone() for name, value in state[0].items()}, dict(state[1]))


class Stop(Exception):
    """What a listener raises to stop a run."""


def stopping_after(count: int, name: str = "") -> Report:
    """A report that raises at the event number `count` (of that name), from 0 on."""
    left = [count]

    def send(event: Event) -> None:
        if name in ("", event["event"]):
            if left[0] == 0:
                raise Stop
            left[0] -= 1

    return Report(send)


def calibration(shape: tuple[int, ...], classes: int = 5, images: int = IMAGES, **more: Any) -> Calibration:
    """Images of noise with labels at random, other ones in each part."""
    generator = torch.Generator().manual_seed(1)

    def part(count: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(count, *shape, generator=generator)
        return x, torch.randint(classes, (count,), generator=generator)

    return Calibration(qx.Data(train=part(images), calibration=part(12), evaluation=part(4)), **more)


def done(network: Network, seen: Calibration, *steps: str | tuple[str, dict[str, Any]]) -> Network:
    """The network after these steps."""
    for step in steps:
        name, settings = (step, {}) if isinstance(step, str) else step
        network = STEPS.get(name)(network, seen, Report(), **settings)
    return network


def quantized(
    model: nn.Module,
    seen: Calibration,
    *,
    bits: int = 4,
    fold: bool = True,
    weights: dict[str, Any] | None = None,
    activations: dict[str, Any] | None = None,
) -> Network:
    """The network of `model` with ranges by mean squared error, ready to be trained."""
    network = Network.of(
        model,
        seen.data.batch_of("train", [0])[0],
        Spec(**{"bits": bits, "granularity": "channel", **(weights or {})}),
        Spec(**{"bits": bits, "symmetric": False, **(activations or {})}),
    )
    return done(network, seen, *(["fold-bn"] if fold else []), "weight-ranges", "activation-ranges")


def named(name: str, **settings: Any) -> tuple[Network, Calibration]:
    """A quantized network of tests/network/nets.py, and its images."""
    model, x = built(name)
    seen = calibration(tuple(x.shape[1:]))
    return quantized(model, seen, **settings), seen


def watched(monkeypatch: Any, look: Callable[[Training], Any]) -> list[Any]:
    """What `look` says of each training at its end, before the network takes it over."""
    found: list[Any] = []
    original = loop.hand_over

    def hand_over(training: Training, report: Report) -> Network:
        found.append(look(training))
        return original(training, report)

    monkeypatch.setattr(loop, "hand_over", hand_over)
    return found


def weights_of(network: Network) -> dict[str, Tensor]:
    """All that a training changes: weights, biases, and ranges."""
    found = {f"{name}.w": layer.weight.clone() for name, layer in network.layers.items()}
    found |= {f"{name}.b": layer.bias.clone() for name, layer in network.layers.items() if layer.bias is not None}
    for name, own in network.own.items():
        if own.range is not None:
            found |= {f"{name}.lo": own.range.lo.clone(), f"{name}.hi": own.range.hi.clone()}
    return found


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same numbers to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
