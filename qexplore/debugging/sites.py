"""Site by site: one quantized as the recipe has it, all others real, and how far the softmax moves."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from qexplore.allocate.sensitivity.alone import Alone
from qexplore.debugging.trail import Trail, biased
from qexplore.network import Network, Site
from qexplore.network.divergence import divergence
from qexplore.network.execute import Values
from qexplore.network.table import power
from qexplore.numerics import sqnr_db
from qexplore.ptq import Calibration
from qexplore.report import Report

COLUMNS = ["site", "index", "kind", "layer", "op", "bits", "divergence", "share", "sqnr_db"]


def alone(network: Network, trail: Trail, site: Site) -> Alone:
    """`site` as the recipe has left it; a weight comes with the bias that was corrected for it."""
    with biased(network, _biases(network, trail, site)):
        return Alone.quantized(network, site, network.bits[site.name])


def divergences(
    network: Network, calibration: Calibration, trail: Trail, changes: Sequence[Alone], report: Report, text: str
) -> list[float]:
    """Mean divergence in nats of each change from the network with every site real, on the calibration images.

    What comes before a change is computed once a batch; what does not depend on it is not computed again.
    """
    with biased(network, trail.biases):
        real = network.real_plan()
    sums = [0.0] * len(changes)
    images = 0
    with torch.inference_mode():
        for x, _ in calibration.batches():
            known: Values = {}
            expected = real.watch(x, known.__setitem__)
            known[real.input] = known.get(real.input, x)
            for number, change in enumerate(changes):
                sums[number] += float(divergence(expected, change.logits(known)).sum())
                report.progress(images * len(changes) + (number + 1) * len(x), calibration.images * len(changes), text)
            images += len(x)
    return [total / images for total in sums]


def site_divergences(network: Network, calibration: Calibration, trail: Trail, report: Report) -> pd.DataFrame:
    """A row for each quantized site: site, index, kind, layer, op, bits, divergence, share (of the sum), sqnr_db."""
    sites = [site for site in network.sites if site.name in network.bits]
    changes = [alone(network, trail, site) for site in sites]
    found = divergences(network, calibration, trail, changes, report, "site by site")
    total = sum(found)
    rows = [
        {
            "site": site.name,
            "index": site.index,
            "kind": site.kind,
            "layer": site.layer,
            "op": site.op,
            "bits": network.bits[site.name],
            "divergence": apart,
            "share": apart / total if total > 0 else 0.0,
            "sqnr_db": sqnr_db(power(network, site), network.noise(site, network.bits[site.name])),
        }
        for site, apart in zip(sites, found, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _biases(network: Network, trail: Trail, site: Site) -> dict[str, torch.Tensor]:
    return {name: bias for name, bias in trail.biases.items() if site.kind != "weight" or name != site.layer}
