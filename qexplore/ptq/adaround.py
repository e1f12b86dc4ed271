"""AdaRound: for every weight, learn whether it is rounded up or down, so that the layer's output changes least."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from qexplore.errors import QexploreError
from qexplore.network import Network, Site
from qexplore.network.clamps import clamp
from qexplore.network.graph import Bound
from qexplore.ptq.memory import DEFAULT, Memory
from qexplore.ptq.reconstruction import Problem
from qexplore.ptq.rounding import Rounding, Schedule
from qexplore.ptq.shared import shared_layers
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.ptq.sweep import Sweep, side_by_side
from qexplore.report import Report

EVERY = 0.3  # seconds from one report of progress to the next


@STEPS.register("adaround")
def adaround(
    network: Network,
    calibration: Calibration,
    report: Report,
    *,
    iterations: int = 1000,
    batch: int = 32,
    rate: float = 0.01,
    regularizer: float = 0.01,
    beta_high: float = 20.0,
    beta_low: float = 2.0,
    warm: float = 0.2,
    memory: float = DEFAULT,
) -> Network:
    """AdaRound: min over V of ‖f(Wx) - f(W̃x̂)‖² + λ Σ 1 - |2h(V) - 1|^β, W̃ = s clamp(⌊W/s⌋ + h(V)) (white paper §3.4).

    Layer after layer, with the inputs x̂ that the layers rounded before give and the non-linearity f inside; scales stay
    as 'weight-ranges' has set them, which comes before this step. The paper runs 10,000 iterations at a rate of 0.001;
    1,000 at 0.01 are this project's default. A layer that ends no better than rounding to nearest keeps that. So does a
    weight that layers share, of which each would learn a rounding of its own; an event tells so.
    memory: gigabytes of RAM for results of all images that later layers read; what surpasses them lies on disk.
    """
    schedule = Schedule(iterations, rate, regularizer, (beta_high, beta_low), warm)
    if batch < 1:
        raise QexploreError(f"AdaRound needs images in a batch; not {batch}.")
    sites = {site.layer: site for site in network.sites if site.kind == "weight" and site.name in network.bits}
    if not sites:
        raise QexploreError("AdaRound rounds quantized weights: put the step 'weight-ranges' before it.")
    shared = shared_layers(network) & sites.keys()
    if shared:
        names = ", ".join(repr(name) for name in sites if name in shared)
        report.event("log", text=f"AdaRound: the layers {names} share weights, which stay rounded to nearest.")
        sites = {name: site for name, site in sites.items() if name not in shared}
    if not sites:
        return network
    generator = torch.Generator().manual_seed(calibration.seed)
    watch = _Watch(report, iterations, len(sites))
    for step, real, quantized in side_by_side(network, calibration, batch, Memory(memory)):
        site = sites.get(step.name)
        if site is None:
            quantized.carry_out(step)
            continue
        picks = torch.randint(len(real.batches), (iterations,), generator=generator).tolist()
        _round_layer(network, site, real, quantized, schedule, picks, watch.layer(site.layer))
    watch.finish()
    return network


def _round_layer(
    network: Network,
    site: Site,
    real: Sweep,
    quantized: Sweep,
    schedule: Schedule,
    picks: list[int],
    tick: Callable[[int], None],
) -> None:
    """Learns one layer's rounding, gives it to the network and carries the layer out with it."""
    layer, bits = network.layers[site.layer], network.bits[site.name]
    source = network.graph.by_name[site.layer].inputs[0]
    lower, upper = bounds_after(network, site.layer)
    for y in real.of(site.layer):
        clamp(y, lower, upper, inplace=True)  # only the clamp itself reads it, and clamps again
    problem = Problem(layer, quantized.of(source), real.of(site.layer), lower, upper)
    spec, _, grid, _ = network.fitted(site, bits)
    rounding = Rounding(layer.weight, spec, grid, network.masks.get(site.layer))
    nearest = network.quantized_weight(site, bits)
    learned = rounding.weight(rounding.learn(problem.objective(real.memory.room), picks, schedule, tick) >= 0)
    best = learned if problem.distance(learned) < problem.distance(nearest) else nearest
    network.set_quantized(site, bits, best)
    quantized.put(site.layer, lambda values: layer.forward(values[source], best, layer.bias))


def bounds_after(network: Network, layer: str) -> tuple[Bound, Bound]:
    """Those of the clamp that alone reads the layer's output."""
    after = network.graph.chain(layer)[1:2]
    return (after[0].lower, after[0].upper) if after and after[0].kind == "clamp" else (None, None)


class _Watch:
    """Progress in iterations of all layers together, not more often than a person can read it."""

    def __init__(self, report: Report, iterations: int, layers: int) -> None:
        self.report, self.iterations, self.total = report, iterations, iterations * layers
        self.done = 0

    def layer(self, name: str) -> Callable[[int], None]:
        """Takes the number of each iteration of the next layer."""
        before, text = self.done, f"AdaRound: {name}"
        self.done += self.iterations
        self.report.progress(before, self.total, text)
        said = time.monotonic()

        def tick(iteration: int) -> None:
            nonlocal said
            if time.monotonic() - said >= EVERY:
                said = time.monotonic()
                self.report.progress(before + iteration, self.total, text)

        return tick

    def finish(self) -> None:
        self.report.progress(self.total, self.total, "AdaRound")
