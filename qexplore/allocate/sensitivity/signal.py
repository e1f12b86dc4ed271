"""Sensitivity by signal alone: how much of each tensor turns into noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.network.table import power
from qexplore.ptq import Calibration
from qexplore.report import Report


@METRICS.register("sqnr")
def sqnr(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """Noise power over signal power, 10^(-SQNR/10), of each site by itself; knows nothing of the loss (no unit).

    The project's own choice.
    """
    losses: Losses = {}
    for site in report.track(network.sites, "noise of the sites"):
        signal = power(network, site)
        if math.isnan(signal):
            raise QexploreError(
                f"The site {site.name!r} was ranged without images, and the metric 'sqnr' looks at values: take the "
                "metric 'fisher' or 'divergence', or a recipe that calibrates with images."
            )
        for b in bits:
            losses[site.name, b] = 0.0 if signal == 0 else network.noise(site, b) / signal
    return losses
