"""A training's whole state, so that going on leads to the same bits as never having stopped."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from typing import Any

import torch
from torch import Tensor

from qexplore.ptq.steps import State
from qexplore.qat.quantizers import bits_of
from qexplore.qat.training import Actors, Training
from qexplore.report import Event, Report

HISTORY = "history"  # events as JSON text, in bytes: a list of them can be long


def owner_of(training: Training, actors: Actors) -> dict[str, Any]:
    """What a state belongs to, as plain JSON: the step with all its settings, what was done before, seed and images.

    Bits are part of it unless the training itself allocates them: those follow from the rest.
    """
    calibration, quantizers = training.calibration, training.trainable.quantizers
    owner = {
        "step": training.name,
        **asdict(training.settings),
        **{f"{actor.name}.{key}": value for actor in actors if actor.plan for key, value in asdict(actor.plan).items()},
        "seed": calibration.seed,
        "images": training.images.count,
        "sites": {site.name: [*site.shape] for site in training.network.sites},
        "bits": None if any(actor.allocates for actor in actors) else bits_of(quantizers),
        "recipe": calibration.past,
    }
    plain: dict[str, Any] = json.loads(json.dumps(owner))
    return plain


def save(training: Training, actors: Actors, owner: dict[str, Any], history: list[Event]) -> None:
    """Hands the state to the keeper, where there is one."""
    keeper = training.calibration.keeper
    if keeper is not None:
        keeper.save(training.calibration.key, state_of(training, actors, owner, history))


def load(training: Training, actors: Actors, owner: dict[str, Any], report: Report) -> list[Event]:
    """Takes the kept state over, where there is one of the same `owner`; the events that were told before.

    A state of another owner stays where it is until it is written over, which is told.
    """
    keeper, key = training.calibration.keeper, training.calibration.key
    kept = None if keeper is None else keeper.load(key)
    if kept is None:
        return []
    tensors, facts = kept
    its = facts.get("owner")
    if isinstance(its, dict):  # settings that are newer than the checkpoint had their defaults
        its = {**asdict(type(training.settings)()), **_defaults(actors), **its}
    if its != owner:
        report.event("log", text=f"The checkpoint {key} is {_difference(its, owner)}; {key} starts anew.")
        return []
    trainable = training.trainable
    with torch.no_grad():
        for name, value in _network(training).items():
            value.copy_(tensors[f"network/{name}"])
    for name, (bits, steps) in facts["grids"].items():
        trainable.quantizers[name].steps = steps
        trainable.quantizers[name].set_bits(bits)
    training.optimizers.load(_part(tensors, "optimizer/"))
    training.average.load(_part(tensors, "average/"))
    for actor in actors:
        actor.load((_part(tensors, f"{actor.name}/"), facts["actors"].get(actor.name, {})))
    training.at, training.epoch, training.batch = facts["at"], facts["epoch"], facts["batch"]
    training.total, training.counted = facts["total"], facts["counted"]
    training.first, training.held = facts["first"], facts["held"]
    events: list[Event] = json.loads(bytes(tensors[HISTORY].tolist()).decode())
    return events


def _defaults(actors: Actors) -> dict[str, Any]:
    """What an actor does where nobody says otherwise, under the names that `owner_of` gives its settings."""
    return {
        f"{actor.name}.{each.name}": each.default
        for actor in actors
        if actor.plan
        for each in fields(actor.plan)
        if each.default is not MISSING
    }


def _difference(kept: Any, owner: dict[str, Any]) -> str:
    """How the owner of a state differs from the one that asks for it."""
    names = [name for name in owner if isinstance(kept, dict) and kept.get(name) != owner[name]]
    if not names or names[0] in ("sites", "bits", "recipe"):
        return "of another network or recipe"
    return f"of a training with other settings ({names[0]}: {kept.get(names[0])!r}, now {owner[names[0]]!r})"


def state_of(training: Training, actors: Actors, owner: dict[str, Any], history: list[Event]) -> State:
    """Parameters, statistics, moments, averages, what the actors know, and where the training stands."""
    tensors = {f"network/{name}": value for name, value in _network(training).items()}
    tensors |= {f"optimizer/{name}": value for name, value in training.optimizers.tensors().items()}
    tensors |= {f"average/{name}": value for name, value in training.average.values.items()}
    grids = {name: [q.spec.bits, q.steps] for name, q in training.trainable.quantizers.items()}
    facts: dict[str, Any] = {"owner": owner, "actors": {}, "grids": grids}
    facts |= {"at": training.at, "epoch": training.epoch, "batch": training.batch}
    facts |= {"total": training.total, "counted": training.counted}
    facts |= {"first": training.first, "held": training.held}
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
    grids: dict[str, Tensor] = {}
    for name, quantizer in trainable.quantizers.items():
        grids |= {f"first.{name}": quantizer.first, f"size.{name}": quantizer.size}
        grids |= {} if quantizer.offset is None else {f"offset.{name}": quantizer.offset}
    return found | masks | grids


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
