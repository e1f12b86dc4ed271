"""What would become of a suspect if one thing about it were other: each tried alone, all other sites real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from qexplore.allocate.sensitivity.alone import Alone
from qexplore.debugging.evidence import Suspect, channel_axis
from qexplore.debugging.sites import divergences
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
    network: Network, calibration: Calibration, suspects: Sequence[Suspect], report: Report
) -> list[dict[str, Tried]]:
    """For each suspect what every remedy would leave, all measured in one pass over the calibration images."""
    proposed = [remedies(network, suspect) for suspect in suspects]
    changes = [remedy.change for some in proposed for remedy in some]
    left = iter(divergences(network, calibration, changes, report, "looking for causes"))
    return [{remedy.name: Tried(next(left), remedy.noise, remedy.span) for remedy in some} for some in proposed]


def remedies(network: Network, suspect: Suspect) -> list[Remedy]:
    """The changes that could help a suspect."""
    methods: dict[str, Estimator] = {name: (name, dict(OPTIONS.get(name, {}))) for name in METHODS}
    if suspect.rows.logits is not None:
        methods[CROSS_ENTROPY] = (CROSS_ENTROPY, {})
    if suspect.site.kind == "activation" and network.own.get(suspect.site.name, Own()).range is None:
        methods[OWN] = network.estimator(suspect.site)
    ranges = [_ranged(network, suspect, name, methods[name]) for name in methods]
    wider = [_usual_bits(network, suspect)] if suspect.bits < suspect.usual else []
    if suspect.site.kind == "activation":
        return [*wider, *ranges, _split_activation(network, suspect)]
    split = [] if suspect.fitted.spec.granularity != "tensor" else [_split_weight(network, suspect)]
    return [*wider, *ranges, *split, _corrected(network, suspect)]


def _usual_bits(network: Network, suspect: Suspect) -> Remedy:
    return Remedy("bits", Alone.quantized(network, suspect.site, suspect.usual))


def _ranged(network: Network, suspect: Suspect, name: str, estimator: Estimator) -> Remedy:
    spec, present = suspect.fitted.spec, suspect.fitted.range
    interval = apply_estimator(suspect.rows, spec, *estimator)
    noise = _noise(suspect, spec, interval)
    span = float(((interval.hi - interval.lo) / (present.hi - present.lo).clamp(min=1e-30)).median())
    if suspect.site.kind == "weight":
        weight = network.layers[suspect.site.layer].weight
        return Remedy(name, _with_weight(network, suspect, quantize(weight, spec, interval)), noise, span)
    with network.fixing({suspect.site.name: interval}):
        return Remedy(name, Alone.quantized(network, suspect.site, suspect.bits), noise, span)


def _split_weight(network: Network, suspect: Suspect) -> Remedy:
    weight, spec = network.layers[suspect.site.layer].weight, replace(suspect.fitted.spec, granularity="channel")
    split = quantize(weight, spec, estimate_range(weight, spec, "mse"))
    noise = float((split - weight).double().square().mean())
    return Remedy("channels", _with_weight(network, suspect, split), noise)


def _split_activation(network: Network, suspect: Suspect) -> Remedy:
    spec = replace(suspect.fitted.spec, granularity="channel")
    enter = partial(_by_channel, network, suspect.site, spec, Range(suspect.lo, suspect.hi))
    return Remedy("channels", Alone(network, suspect.site, network.real_plan(), enter))


def _by_channel(network: Network, site: Site, spec: Spec, interval: Range, value: Tensor) -> Tensor:
    if value.dim() == 1:
        return _by_channel(network, site, spec, interval, value[:, None])[:, 0]
    axis = channel_axis(network, site, value)
    return quantize(value.movedim(axis, 0), spec, interval).movedim(0, axis)


def _corrected(network: Network, suspect: Suspect) -> Remedy:
    assert suspect.lean is not None
    site, before = suspect.site, network.correction(suspect.site, suspect.bits)
    weight = network.quantized_weight(site, suspect.bits)
    shift = -suspect.lean if before is None else before - suspect.lean
    return Remedy("bias", Alone(network, site, network.real_plan({site.layer: weight}, {site.layer: shift})))


def _with_weight(network: Network, suspect: Suspect, weight: Tensor) -> Alone:
    """Another weight in the place of the suspect's, whose correction was for the present one."""
    return Alone(network, suspect.site, network.real_plan({suspect.site.layer: weight}))


def _noise(suspect: Suspect, spec: Spec, interval: Range) -> float:
    grid = grid_of(spec, interval)
    errors = suspect.rows.squared_errors(grid.scale[:, None], grid.zero[:, None], grid.qmin, grid.qmax)
    return float(errors.sum()) / suspect.rows.values.numel()
