"""Site by site: one quantized as the recipe has it, all others real, and how far the softmax moves."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from qexplore.allocate.sensitivity.alone import Alone
from qexplore.network import Network
from qexplore.network.divergence import divergence
from qexplore.network.execute import Values
from qexplore.network.table import power
from qexplore.numerics import sqnr_db
from qexplore.ptq import Calibration
from qexplore.report import Report

COLUMNS = ["site", "index", "kind", "layer", "op", "bits", "divergence", "share", "sqnr_db"]


def divergences(
    network: Network, calibration: Calibration, changes: Sequence[Alone], report: Report, text: str
) -> list[float]:
    """Mean divergence in nats of each change from the network with every site real, on the calibration images.

    What comes before a change is computed once a batch; what does not depend on it is not computed again.
    """
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


def site_divergences(network: Network, calibration: Calibration, report: Report) -> pd.DataFrame:
    """A row for each quantized site: site, index, kind, layer, op, bits, divergence, share (of the sum), sqnr_db. A
    weight comes with the bias that was corrected for it.
    """
    sites = [site for site in network.sites if site.name in network.bits]
    changes = [Alone.quantized(network, site, network.bits[site.name]) for site in sites]
    found = divergences(network, calibration, changes, report, "site by site")
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
