"""A training's whole state, so that going on leads to the same bits as never having stopped."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from qexplore.ptq.steps import State
from qexplore.qat.training import Actors, Training
from qexplore.report import Event

HISTORY = "history"  # events as JSON text, in bytes: a list of them can be long


def save(training: Training, actors: Actors, history: list[Event], *, done: bool = False) -> None:
    """Hands the state to the keeper, where there is one."""
    keeper = training.calibration.keeper
    if keeper is not None:
        keeper.save(training.calibration.key, state_of(training, actors, history, done=done))


def load(training: Training, actors: Actors) -> tuple[list[Event], bool] | None:
    """Takes the kept state over; the events that were told before and whether the training was done. None where there
    is no state.
    """
    keeper = training.calibration.keeper
    kept = None if keeper is None else keeper.load(training.calibration.key)
    if kept is None:
        return None
    tensors, facts = kept
    trainable = training.trainable
    for name, bits in facts["bits"].items():
        trainable.quantizers[name].set_bits(bits)
    with torch.no_grad():
        for name, value in _network(training).items():
            value.copy_(tensors[f"network/{name}"])
    training.optimizers.load(_part(tensors, "optimizer/"))
    training.average.load(_part(tensors, "average/"))
    for actor in actors:
        actor.load((_part(tensors, f"{actor.name}/"), facts["actors"].get(actor.name, {})))
    training.at, training.epoch, training.batch = facts["at"], facts["epoch"], facts["batch"]
    training.total, training.counted = facts["total"], facts["counted"]
    events: list[Event] = json.loads(bytes(tensors[HISTORY].tolist()).decode())
    return events, bool(facts["done"])


def state_of(training: Training, actors: Actors, history: list[Event], *, done: bool) -> State:
    """Parameters, statistics, moments, averages, what the actors know, and where the training stands."""
    tensors = {f"network/{name}": value for name, value in _network(training).items()}
    tensors |= {f"optimizer/{name}": value for name, value in training.optimizers.tensors().items()}
    tensors |= {f"average/{name}": value for name, value in training.average.values.items()}
    facts: dict[str, Any] = {"actors": {}, "bits": _bits(training), "done": done}
    facts |= {"at": training.at, "epoch": training.epoch, "batch": training.batch}
    facts |= {"total": training.total, "counted": training.counted}
    for actor in actors:
        own, facts["actors"][actor.name] = actor.state()
        tensors |= {f"{actor.name}/{name}": value for name, value in own.items()}
    text = json.dumps(history, separators=(",", ":")).encode()
    tensors[HISTORY] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return {name: value.detach() for name, value in tensors.items()}, facts


def _network(training: Training) -> dict[str, Tensor]:
    trainable = training.trainable
    found: dict[str, Tensor] = {**trainable.latent(), **trainable.learned(), **trainable.buffers()}
    masks = {f"mask.{name}": mask for name, mask in trainable.masks.items()}
    return found | masks | {f"base.{name}": quantizer.base for name, quantizer in trainable.quantizers.items()}


def _bits(training: Training) -> dict[str, int]:
    return {name: quantizer.spec.bits for name, quantizer in training.trainable.quantizers.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
