"""Ranges of weights and of activations, and with them the bits of the recipe."""

from __future__ import annotations

from typing import Any

from qexplore.network import Network, Own
from qexplore.ptq.calibrate import collect_samples
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report


@STEPS.register("weight-ranges")
def weight_ranges(
    network: Network, calibration: Calibration, report: Report, *, method: str = "mse", **options: Any
) -> Network:
    """Quantize the weights: ranges by `method` from the weights alone (white paper §3.1)."""
    return _quantize(network, "weight", method, options, report)


@STEPS.register("activation-ranges")
def activation_ranges(
    network: Network, calibration: Calibration, report: Report, *, method: str = "mse", **options: Any
) -> Network:
    """Quantize the activations: ranges by `method` from calibration images, with the weights as they are by now
    (white paper §3.1).
    """
    network.set_samples(*collect_samples(network, calibration, report))
    return _quantize(network, "activation", method, options, report)


def _quantize(network: Network, kind: str, method: str, options: dict[str, Any], report: Report) -> Network:
    network.set_estimator(kind, method, options)
    sites = [site for site in network.sites if site.kind == kind]
    bits = {site.name: network.own.get(site.name, Own()).bits or network.specs[kind].bits for site in sites}
    for site in report.track(sites, f"ranges of the {kind}s"):
        network.fitted(site, bits[site.name])
    network.set_bits(bits)
    return network
