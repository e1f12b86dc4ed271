"""Golden-section search against the search from coarse to fine, on real weights and activations."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from functools import partial

from qexplore.bench.subjects import DIGITS
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import Network, Own, Site
from qexplore.network.table import power
from qexplore.numerics import sqnr_db
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.zoo import Task

BITS = (8, 4, 3)
PAIR = ("golden-section", "mse")
TWINS = (*DIGITS, "mobilenet-digits-unbalanced")


@BENCHES.register("ranges")
def ranges(report: Report) -> dict[str, float]:
    """Time of golden-section / time of mse over all sites of the digits networks, one range a tensor; and how many dB
    of SQNR golden-section has more, mean over the sites and at the worst of them, at 8, 4 and 3 bits.
    """
    found: dict[str, float] = {}
    networks = [prepare(Task(name), Recipe.load("w8a8-per-tensor")) for name in TWINS]
    for kind in report.track(("weight", "activation"), "range estimators"):
        sites = [(network, site) for network in networks for site in network.sites if site.kind == kind]
        for bits in BITS:
            times = medians({method: partial(_all, sites, method, bits) for method in PAIR}, repeats=3)
            gains = [more for network, site in sites if math.isfinite(more := _gain(network, site, bits))]
            what = f"{kind}s, {bits} bits"
            found[f"golden-section/mse {what}"] = times[PAIR[0]] / times[PAIR[1]]
            found[f"golden-section less mse, mean dB {what}"] = statistics.mean(gains)
            found[f"golden-section less mse, worst dB {what}"] = min(gains)
    return found


def _all(sites: list[tuple[Network, Site]], method: str, bits: int) -> None:
    for network, site in sites:
        network.set_own(site.name, Own(estimator=(method, {})))
        network.fitted(site, bits)


def _gain(network: Network, site: Site, bits: int) -> float:
    golden, squared = (sqnr_db(power(network, site), noise) for noise in _noises(network, site, bits))
    return golden - squared


def _noises(network: Network, site: Site, bits: int) -> Iterator[float]:
    for method in PAIR:
        network.set_own(site.name, Own(estimator=(method, {})))
        yield network.fitted(site, bits).noise
