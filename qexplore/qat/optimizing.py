"""The optimizers of a training: one for what the network has learned before, one for its quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.qat.settings import SGD, Settings
from qexplore.qat.trainable import Trainable


class Optimizers:
    """Weights, biases and batch norms by SGD or Adam; what quantizers learn by Adam, or their sizes by SGD with LSQ's
    factor in the gradients; quantizers without decay.

    The white paper (§4) warns that quantizer parameters under SGD need a rate of their own, which Adam avoids.
    QexploreError where there is nothing to train.
    """

    def __init__(self, trainable: Trainable, settings: Settings) -> None:
        self._named = trainable.latent() | trainable.learned()
        latent, learned = list(trainable.latent().items()), trainable.learned()
        slow = {n: p for n, p in learned.items() if settings.quantizer_optimizer == SGD and n.startswith("size.")}
        self._scaled = [(trainable.quantizers[n.removeprefix("size.")], p) for n, p in slow.items()]
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in latent if n.startswith("weight.")], "weight_decay": settings.decay},
            {"params": [p for n, p in latent if not n.startswith("weight.")], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self.all: list[torch.optim.Optimizer] = []
        if groups:
            self.all.append(
                torch.optim.SGD(groups, lr=settings.rate, momentum=settings.momentum, nesterov=settings.momentum > 0)
                if settings.optimizer == SGD
                else torch.optim.Adam(groups, lr=settings.rate)
            )
        if slow:
            self.all.append(torch.optim.SGD(slow.values(), lr=settings.quantizer_rate, momentum=settings.momentum))
        if quick := [p for n, p in learned.items() if n not in slow]:
            # Gradients of sizes are far below Adam's usual ε where images or elements are many.
            self.all.append(torch.optim.Adam(quick, lr=settings.quantizer_rate, eps=1e-16))
        if not self.all:
            raise QexploreError(
                "Nothing is trained in this network: it has no convolution and no linear layer, whose weights are what "
                "training moves, and no range that is learned."
            )
        self._rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.all]

    def zero(self) -> None:
        for optimizer in self.all:
            optimizer.zero_grad()

    def step(self, factor: float) -> None:
        """One step with all rates times `factor`."""
        for quantizer, size in self._scaled:
            if size.grad is not None:
                size.grad.mul_(quantizer.lsq)
        for optimizer, rates in zip(self.all, self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.step()

    def tensors(self) -> dict[str, Tensor]:
        """Momentum and moments, by parameter."""
        found: dict[str, Tensor] = {}
        for name, parameter in self._named.items():
            for key, value in self._state(parameter).items():
                found[f"{name}/{key}"] = torch.as_tensor(value)
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        for name, parameter in self._named.items():
            mine = {key.rpartition("/")[2]: value for key, value in tensors.items() if key.rpartition("/")[0] == name}
            for optimizer in self.all:
                if mine and any(p is parameter for group in optimizer.param_groups for p in group["params"]):
                    # A copy keeps the parameter's own order in memory.
                    optimizer.state[parameter] = {
                        key: value.clone() if value.dim() == 0 else torch.empty_like(parameter).copy_(value)
                        for key, value in mine.items()
                    }

    def _state(self, parameter: Tensor) -> Mapping[str, Any]:
        for optimizer in self.all:
            if parameter in optimizer.state:
                return {k: v for k, v in optimizer.state[parameter].items() if v is not None}
        return {}
