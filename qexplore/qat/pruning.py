"""Gradual magnitude pruning: masks that grow while the real network is trained, and stay ever after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.graph import channels_last
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.steps import State, takes
from qexplore.qat.channels import among, gone_in, least_channels, masks_without
from qexplore.qat.coupling import Coupling, couple
from qexplore.qat.loop import fine_tune
from qexplore.qat.magnitude import Masks, cubic, layer_by_layer, over_all
from qexplore.qat.norms import KEEP, STATIC, fold_statically
from qexplore.qat.settings import Settings, defaults_of
from qexplore.qat.sparsity import owners, share_of, sparsity_event
from qexplore.qat.training import Idle, Training
from qexplore.report import Event, Report

UNSTRUCTURED, CHANNELS = "unstructured", "channels"
SCOPES = ("network", "layer")


@dataclass(frozen=True)
class Pruning:
    """What is pruned, and when.

    sparsity: share of the weights that goes, or with the method "channels" of the channels of each layer whose channels
    can go. method: "unstructured" (single weights, by size) or "channels" (whole ones, by L2 norm, with all that hangs
    on them). scope: whether single weights are compared over the whole "network", or each "layer" loses the same share.
    start, end: shares of the training at which the masks begin to grow and have their last size; every: steps from one
    growth to the next. Numbers are the project's own choice.
    """

    sparsity: float = 0.3
    method: str = UNSTRUCTURED
    scope: str = SCOPES[0]
    start: float = 0.0
    end: float = 0.6
    every: int = 5

    def __post_init__(self) -> None:
        if self.method not in (UNSTRUCTURED, CHANNELS):
            raise UnknownName("method of pruning", self.method, (UNSTRUCTURED, CHANNELS))
        if self.scope not in SCOPES:
            raise UnknownName("scope of pruning", self.scope, SCOPES)
        if not (0 <= self.sparsity < 1 and 0 <= self.start <= self.end <= 1 and self.every >= 1):
            raise QexploreError(
                "Pruning needs a sparsity from 0 to below 1, 0 ≤ start ≤ end ≤ 1 and every ≥ 1; not "
                f"{self.sparsity}, {self.start}, {self.end} and {self.every}."
            )

    def done(self, progress: float) -> float:
        """How much of the schedule is behind (0 to 1) when `progress` of the training is."""
        if progress >= self.end:
            return 1.0
        return 0.0 if progress <= self.start else (progress - self.start) / (self.end - self.start)


_QUANTIZERS = ("quantizer_rate", "quantizer_optimizer", "learn", "noise", "damping", "freezing")
_DEFAULTS = {name: value for name, value in defaults_of(Settings).items() if name not in _QUANTIZERS}
"""The settings of a training that has no quantizers."""


def _read(settings: Mapping[str, Any]) -> tuple[Pruning, Settings]:
    """What of the settings of a step each of both takes."""
    names = defaults_of(Pruning)
    plan = Pruning(**{name: value for name, value in settings.items() if name in names})
    others = {name: value for name, value in settings.items() if name not in names}
    return plan, Settings(**{"batch_norm": KEEP} | others)


@STEPS.register("prune")
@takes(_DEFAULTS | defaults_of(Pruning) | {"batch_norm": KEEP}, _read)
def prune(network: Network, calibration: Calibration, report: Report, **settings: Any) -> Network:
    """Gradual magnitude pruning of the real network while it is trained (the schedule is that of Zhu & Gupta 2017).

    Masks are kept by every later step. Comes before 'weight-ranges'; batch norms are trained and stay, unless they are
    folded before. settings: of qexplore.qat.settings.Settings, those of quantizers left out, and of Pruning.
    """
    plan, training = _read(settings)
    if network.bits:
        raise QexploreError(
            "The step 'prune' trains the real network, but sites are quantized: put it before 'weight-ranges' and "
            "'activation-ranges'."
        )
    if training.batch_norm == STATIC:
        fold_statically(network, calibration)
    actor = Pruner(plan, network)
    network = fine_tune(network, calibration, report, training, {}, [actor], name="prune")
    network.set_masks(actor.masks)
    if actor.coupling is not None:
        silence(network, actor.coupling, gone_in(actor.coupling, actor.masks))
    return network


class Pruner(Idle):
    """Lets the masks grow in training; the share that was reached before is where it starts."""

    name = "pruning"

    def __init__(self, plan: Pruning, network: Network) -> None:
        self.plan, self.masks = plan, dict(network.masks)
        self.coupling = couple(network) if plan.method == CHANNELS else None
        if self.coupling is not None and not self.coupling.number:
            raise QexploreError(
                "No channel of this network can be pruned: all of them reach its output or operations that mix them; "
                "set the method of 'prune' to 'unstructured'."
            )
        self.began = self._reached(network)

    def _reached(self, network: Network) -> float:
        """The share that is pruned at the start."""
        if self.coupling is not None:
            return float(gone_in(self.coupling, self.masks).float().mean())
        return share_of(network, self.masks)

    def begin(self, training: Training) -> list[Event]:
        training.trainable.masks.update(self.masks)
        return [sparsity_event(training.network, self.masks, training.at)]

    def after_step(self, training: Training) -> list[Event]:
        if training.at % self.plan.every == 0 or training.at == training.steps:
            self._grow(training)
        return []

    def after_epoch(self, training: Training) -> list[Event]:
        return [sparsity_event(training.network, self.masks, training.at)]

    @torch.no_grad()
    def _grow(self, training: Training) -> None:
        """Prunes up to the share that the schedule asks for now."""
        share = cubic(self.plan.sparsity, self.began, self.plan.done(training.at / training.steps))
        self.masks = {name: channels_last(mask) for name, mask in self._wanted(training, share).items()}
        training.trainable.masks.update(self.masks)
        training.trainable.hold()

    def _wanted(self, training: Training, share: float) -> Masks:
        weights = training.trainable.weights
        if self.coupling is not None:
            gone = least_channels(self.coupling, weights, gone_in(self.coupling, self.masks), share)
            return masks_without(self.coupling, gone, weights, self.masks)
        owner = owners(training.network)
        single: Callable[..., Masks] = over_all if self.plan.scope == SCOPES[0] else layer_by_layer
        masks = single({name: weights[name] for name in dict.fromkeys(owner.values())}, self.masks, share)
        return {name: masks[first] for name, first in owner.items()}

    def state(self) -> State:
        return dict(self.masks), {"began": self.began}

    def load(self, state: State) -> None:
        masks, facts = state
        self.masks, self.began = {name: mask.bool() for name, mask in masks.items()}, float(facts["began"])


def silence(network: Network, coupling: Coupling, gone: Tensor) -> None:
    """Takes the biases and batch norms of channels that are gone away, so that nothing at all is left of them."""
    for name, groups in coupling.outputs.items():
        layer = network.layers[name]
        if layer.bias is not None:
            network.set_bias(name, layer.bias.masked_fill(among(groups, gone), 0.0))
    for name, groups in coupling.norms.items():
        module = network.graph.by_name[name].module
        assert module is not None
        for part in (module.weight, module.bias, module.running_mean):
            if isinstance(part, Tensor):
                part.data.masked_fill_(among(groups, gone), 0.0)
