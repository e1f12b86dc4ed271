"""What would become of a suspect if one thing about it were other: each tried alone, all other sites real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from qexplore.allocate.sensitivity.alone import Alone
from qexplore.debugging.evidence import Suspect, channel_axis
from qexplore.debugging.sites import divergences
from qexplore.debugging.trail import Trail, biased
from qexplore.network import Network, Own, Site
from qexplore.network.fitting import Estimator
from qexplore.numerics import Range, Spec, apply_estimator, estimate_range, grid_of, quantize
from qexplore.ptq import Calibration
from qexplore.report import Report

METHODS = ("mse", "min-max", "percentile")
CROSS_ENTROPY = "cross-entropy"
OWN = "own"
OPTIONS = {"percentile": {"percent": 99.9}}


@dataclass(frozen=True, eq=False)
class Remedy:
    """One thing changed: "bits" (the recipe's), "channels" (a grid for each), "bias" (corrected), a range estimator, or
    "own": the site's own estimator behind real weights. Of ranges: noise, the mean squared error of the values, and
    span, the width over that of the present range.
    """

    name: str
    change: Alone
    noise: float = float("nan")
    span: float = float("nan")


@dataclass(frozen=True)
class Tried:
    """What a remedy leaves, divergence in nats; noise and span as those of the remedy."""

    divergence: float
    noise: float
    span: float


def try_all(
    network: Network, calibration: Calibration, trail: Trail, suspects: Sequence[Suspect], report: Report
) -> list[dict[str, Tried]]:
    """For each suspect what every remedy would leave, all measured in one pass over the calibration images."""
    proposed = [remedies(network, trail, suspect) for suspect in suspects]
    changes = [remedy.change for some in proposed for remedy in some]
    left = iter(divergences(network, calibration, trail, changes, report, "looking for causes"))
    return [{remedy.name: Tried(next(left), remedy.noise, remedy.span) for remedy in some} for some in proposed]


def remedies(network: Network, trail: Trail, suspect: Suspect) -> list[Remedy]:
    """The changes that could help a suspect."""
    methods: dict[str, Estimator] = {name: (name, dict(OPTIONS.get(name, {}))) for name in METHODS}
    if suspect.rows.logits is not None:
        methods[CROSS_ENTROPY] = (CROSS_ENTROPY, {})
    if suspect.site.kind == "activation" and network.own.get(suspect.site.name, Own()).range is None:
        methods[OWN] = network.estimator(suspect.site)
    ranges = [_ranged(network, trail, suspect, name, methods[name]) for name in methods]
    wider = [_usual_bits(network, trail, suspect)] if suspect.bits < suspect.usual else []
    if suspect.site.kind == "activation":
        return [*wider, *ranges, _split_activation(network, trail, suspect)]
    split = [] if suspect.fitted.spec.granularity != "tensor" else [_split_weight(network, trail, suspect)]
    return [*wider, *ranges, *split, _corrected(network, trail, suspect)]


def _usual_bits(network: Network, trail: Trail, suspect: Suspect) -> Remedy:
    with biased(network, _others(trail, suspect)):
        return Remedy("bits", Alone.quantized(network, suspect.site, suspect.usual))


def _ranged(network: Network, trail: Trail, suspect: Suspect, name: str, estimator: Estimator) -> Remedy:
    spec, present = suspect.fitted.spec, suspect.fitted.range
    interval = apply_estimator(suspect.rows, spec, *estimator)
    noise = _noise(suspect, spec, interval)
    span = float(((interval.hi - interval.lo) / (present.hi - present.lo).clamp(min=1e-30)).median())
    if suspect.site.kind == "weight":
        weight = network.layers[suspect.site.layer].weight
        return Remedy(name, _with_weight(network, trail, suspect, quantize(weight, spec, interval)), noise, span)
    with network.fixing({suspect.site.name: interval}), biased(network, trail.biases):
        return Remedy(name, Alone.quantized(network, suspect.site, suspect.bits), noise, span)


def _split_weight(network: Network, trail: Trail, suspect: Suspect) -> Remedy:
    weight, spec = network.layers[suspect.site.layer].weight, replace(suspect.fitted.spec, granularity="channel")
    split = quantize(weight, spec, estimate_range(weight, spec, "mse"))
    noise = float((split - weight).double().square().mean())
    return Remedy("channels", _with_weight(network, trail, suspect, split), noise)


def _split_activation(network: Network, trail: Trail, suspect: Suspect) -> Remedy:
    spec = replace(suspect.fitted.spec, granularity="channel")
    with biased(network, trail.biases):
        plan = network.real_plan()
    enter = partial(_by_channel, network, suspect.site, spec, Range(suspect.lo, suspect.hi))
    return Remedy("channels", Alone(network, suspect.site, plan, enter))


def _by_channel(network: Network, site: Site, spec: Spec, interval: Range, value: Tensor) -> Tensor:
    if value.dim() == 1:
        return _by_channel(network, site, spec, interval, value[:, None])[:, 0]
    axis = channel_axis(network, site, value)
    return quantize(value.movedim(axis, 0), spec, interval).movedim(0, axis)


def _corrected(network: Network, trail: Trail, suspect: Suspect) -> Remedy:
    assert suspect.lean is not None
    layer = network.layers[suspect.site.layer]
    bias = -suspect.lean if layer.bias is None else layer.bias - suspect.lean
    weight = network.quantized_weight(suspect.site, suspect.bits)
    with biased(network, {**trail.biases, suspect.site.layer: bias}):
        plan = network.real_plan({suspect.site.layer: weight})
    return Remedy("bias", Alone(network, suspect.site, plan))


def _with_weight(network: Network, trail: Trail, suspect: Suspect, weight: Tensor) -> Alone:
    with biased(network, _others(trail, suspect)):
        return Alone(network, suspect.site, network.real_plan({suspect.site.layer: weight}))


def _others(trail: Trail, suspect: Suspect) -> dict[str, Tensor]:
    """Biases of the layers but the suspect's own, which keeps what was corrected for it."""
    own = suspect.site.layer if suspect.site.kind == "weight" else ""
    return {name: bias for name, bias in trail.biases.items() if name != own}


def _noise(suspect: Suspect, spec: Spec, interval: Range) -> float:
    grid = grid_of(spec, interval)
    errors = suspect.rows.squared_errors(grid.scale[:, None], grid.zero[:, None], grid.qmin, grid.qmax)
    return float(errors.sum()) / suspect.rows.values.numel()
