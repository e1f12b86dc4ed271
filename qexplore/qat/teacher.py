"""The FP32 network whose outputs a quantized one is taught."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import channels_last
from qexplore.ptq import Calibration

Teacher = Callable[[Tensor], Tensor]


def teacher_of(network: Network, calibration: Calibration) -> Teacher:
    """The task's own FP32 network; where a step stands alone, the float network as it is when training starts."""
    model = calibration.teacher
    if model is None:
        plan = network.real_plan({name: layer.weight.clone() for name, layer in network.layers.items()})
        return torch.no_grad()(plan)

    order = channels_last

    @torch.no_grad()
    def taught(x: Tensor) -> Tensor:
        nonlocal order
        try:
            logits: Tensor = model(order(x).clone())  # a user's network may write into its images
        except RuntimeError:
            if order is _plain:
                raise
            order = _plain  # of which a user's network may take views
            return taught(x)
        return logits

    return taught


def _plain(x: Tensor) -> Tensor:
    return x.contiguous()
