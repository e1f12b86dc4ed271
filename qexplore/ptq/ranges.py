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
from qexplore.ptq.shared import for_all_that_share
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report

WITHOUT_IMAGES = "batch-norm"
OF_LOGITS = "cross-entropy"


@STEPS.register("weight-ranges")
def weight_ranges(
    network: Network, calibration: Calibration, report: Report, *, method: str = "mse", **options: Any
) -> Network:
    """Quantize the weights: ranges by `method` from the weights alone (white paper §3.1).

    What the recipe sets for one of the layers that share a weight holds for all of them.
    """
    for name, own in for_all_that_share(network, network.own).items():
        if name not in network.own:
            network.set_own(name, own)
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

    logits: another method for the logits alone. 'cross-entropy' serves [images, classes] on a grid of their own; where
    the output is something else `method` serves it, and an event tells so. dynamic: each image finds its own ranges,
    min-max, while the network runs; those by `method` hold where the recipe gives a site (or the logits) a method or
    range of its own, and stand in for the others in tables, noises and sensitivities. Where every site has the method
    'batch-norm', or a range of its own, no image is read; the range of the network's input is then `input`, [least,
    greatest], or what the task's data declare.
    """
    if logits:
        _set_logits(network, logits, report)
    network.set_estimator("activation", method, options)
    network.set_bands(site_bands(network, calibration.interval if input is None else _interval(input)))
    if _needs_images(network):
        network.set_samples(*collect_samples(network, calibration, report))
    network.set_dynamic(dynamic)
    return _quantize(network, "activation", method, options, report)


def _set_logits(network: Network, method: str, report: Report) -> None:
    known, site = RANGES.canonical(method), network.logits
    if site is None or (known == OF_LOGITS and not network.keeps_images(site)):
        report.event("log", text=f"The output is no [images, classes] on a grid of its own: {known!r} serves no site.")
        return
    own = network.own.get(site.name, Own())
    if own.range is None and own.estimator is None:  # what the recipe says of the site itself comes first
        network.set_own(site.name, replace(own, estimator=(known, {})))


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
