"""Ranges of weights and of activations, and with them the bits of the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qexplore.errors import QexploreError
from qexplore.network import Network, Own
from qexplore.numerics import RANGES
from qexplore.plain import interval
from qexplore.ptq.bands import site_bands
from qexplore.ptq.calibrate import collect_samples
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report

WITHOUT_IMAGES = "batch-norm"


@STEPS.register("weight-ranges")
def weight_ranges(
    network: Network, calibration: Calibration, report: Report, *, method: str = "mse", **options: Any
) -> Network:
    """Quantize the weights: ranges by `method` from the weights alone (white paper §3.1)."""
    return _quantize(network, "weight", method, options, report)


@STEPS.register("activation-ranges")
def activation_ranges(
    network: Network,
    calibration: Calibration,
    report: Report,
    *,
    method: str = "mse",
    logits: str = "",
    dynamic: bool = False,
    input: Sequence[float] | None = None,
    **options: Any,
) -> Network:
    """Quantize the activations: ranges by `method` from calibration images, with the weights as they are by now
    (white paper §3.1).

    logits: another method for the logits alone, 'cross-entropy' say. Where every site has the method 'batch-norm', or a
    range of its own, no image is read; the range of the network's input is then `input`, [least, greatest], or what
    the task's data declare. dynamic: each image finds its own ranges, min-max, while the network runs; those by
    `method` hold where the recipe gives a site (or the logits) a method or range of its own, and stand in for the
    others in tables, noises and sensitivities.
    """
    _set_logits(network, logits)
    network.set_estimator("activation", method, options)
    network.set_bands(site_bands(network, calibration.interval if input is None else _interval(input)))
    if _needs_images(network):
        network.set_samples(*collect_samples(network, calibration, report))
    network.set_dynamic(dynamic)
    return _quantize(network, "activation", method, options, report)


def _set_logits(network: Network, method: str) -> None:
    if not method:
        return
    if network.logits is None:
        raise QexploreError("The output of this network lies on no grid: leave the setting 'logits' out.")
    own = network.own.get(network.logits.name, Own())
    if own.range is None and own.estimator is None:  # what the recipe says of the site itself comes first
        network.set_own(network.logits.name, replace(own, estimator=(RANGES.canonical(method), {})))


def _needs_images(network: Network) -> bool:
    sites = [site for site in network.sites if site.kind == "activation"]
    by_hand = {site.name for site in sites if network.own.get(site.name, Own()).range is not None}
    return any(RANGES.canonical(network.estimator(s)[0]) != WITHOUT_IMAGES for s in sites if s.name not in by_hand)


def _interval(given: Sequence[float]) -> tuple[float, float]:
    ends = interval(given)
    if ends is None:
        raise QexploreError(f"The setting 'input' is [least, greatest] of the images' values; not {given!r}.")
    return ends


def _quantize(network: Network, kind: str, method: str, options: dict[str, Any], report: Report) -> Network:
    network.set_estimator(kind, method, options)
    sites = [site for site in network.sites if site.kind == kind]
    bits = {site.name: network.own.get(site.name, Own()).bits or network.specs[kind].bits for site in sites}
    for site in report.track(sites, f"ranges of the {kind}s"):
        network.fitted(site, bits[site.name])
    network.set_bits(bits)
    return network
