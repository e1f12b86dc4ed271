"""The first questions of the flowchart: does the network still do its work in FP32, with weights alone quantized, with
activations alone?
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qexplore.debugging.harm import HARM
from qexplore.network import Judged, Network, Tally, compare
from qexplore.network.divergence import divergence
from qexplore.ptq import Calibration
from qexplore.ptq.calibrate import collect_samples
from qexplore.recipes.images import images_of
from qexplore.recipes.verbs import columns
from qexplore.report import Report
from qexplore.zoo import Task

FP32, REAL, WEIGHTS, ACTIVATIONS, QUANTIZED = "fp32", "all sites real", "weights only", "activations only", "quantized"
RARE = 0.05  # McNemar's p from which on a loss is no chance


@dataclass(frozen=True, eq=False)
class Check:
    """One network on the evaluation images; divergence: mean KL of its softmax from the model's own, in nats."""

    name: str
    judged: Judged
    divergence: float

    def worse(self, than: Check) -> bool:
        """Whether it has significantly fewer images right, in pairs."""
        paired = compare(than.judged, self.judged)
        return paired.lost > paired.gained and paired.p < RARE

    def harmed(self, fp32: Check) -> bool:
        """Whether it is worse than the model, or sees the images otherwise."""
        return self.worse(fp32) or self.divergence >= HARM

    def to_document(self, fp32: Check) -> dict[str, Any]:
        return {
            "name": self.name,
            **columns(self.judged, fp32.judged),
            "divergence": self.divergence,
            "p": compare(fp32.judged, self.judged).p,
        }


def check_all(task: Task, network: Network, calibration: Calibration, report: Report) -> dict[str, Check]:
    """The five checks by name, on the evaluation images.

    Activations alone have the ranges that real weights give: those found behind broken weights are the weights' fault.
    """
    real = network.real_plan()
    with network.using(_alone(network, "activation")), _behind_real_weights(network, calibration, report):
        activations = network.plan()
    with network.using(_alone(network, "weight")):
        weights = network.plan()
    networks: dict[str, Callable[[Tensor], Tensor]] = {
        FP32: task.model,
        REAL: real,
        WEIGHTS: weights,
        ACTIVATIONS: activations,
        QUANTIZED: network.plan(),
    }
    tallies = {name: Tally() for name in networks}
    apart: dict[str, list[Tensor]] = {name: [] for name in networks}
    images = 0
    with torch.no_grad():  # not in inference mode: see `judge`
        for x, y in images_of(task):
            expected = task.model(x.clone())
            for name, one in networks.items():
                logits = expected if name == FP32 else one(x.clone())
                tallies[name].add(logits, y)
                apart[name].append(divergence(expected, logits))
            images += len(y)
            report.progress(images, task.data.count("evaluation"), "weights or activations?")
    return {name: Check(name, tallies[name].judged(), float(torch.cat(apart[name]).mean())) for name in networks}


def _behind_real_weights(
    network: Network, calibration: Calibration, report: Report
) -> AbstractContextManager[Network | None]:
    """The network, whose weights are real, with activation ranges found anew; those that no image has set stay."""
    return network.seeing(*collect_samples(network, calibration, report)) if network.samples else nullcontext()


def _alone(network: Network, kind: str) -> dict[str, int | None]:
    """The allocation that leaves the sites of `kind` as they are and makes the others real."""
    return {site.name: None for site in network.sites if site.kind != kind}
