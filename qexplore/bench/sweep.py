"""The measured sensitivities, which reuse what comes before each site, against a complete pass for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qexplore.allocate.sensitivity import sensitivity_table
from qexplore.allocate.sensitivity.shared import shares_of
from qexplore.bench.subjects import DIGITS, LARGE, subject
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import Network, cross_entropy
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report

BITS = {**dict.fromkeys(DIGITS, (2, 4, 8)), **dict.fromkeys(LARGE, (4,))}


@BENCHES.register("sweep")
def sweep(report: Report, *, images: int = 4) -> dict[str, float]:
    """Time of the metric `loss` for all sites / time of one complete pass for each site and bits, ranges known (limit:
    0.65). On the digits networks with 128 images, on the large ones at 224 × 224 with `images`.
    """
    ratios: dict[str, float] = {}
    for name, bits in report.track(list(BITS.items()), "sweeps"):
        task = subject(name, images)
        network, given = prepare(task, Recipe.load("w8a8")), Calibration(task.data, limit=128, batch=128)
        works: dict[str, Callable[[], object]] = {
            "naive": partial(complete_passes, network, given, bits),
            "loss": partial(sensitivity_table, network, given, "loss", bits),
        }
        works["loss"]()  # finds the ranges
        times = medians(works, repeats=1 if name in LARGE else 3, uncounted=0)
        ratios[f"loss/naive {name}"] = times["loss"] / times["naive"]
    return ratios


def complete_passes(network: Network, given: Calibration, bits: Sequence[int]) -> dict[tuple[str, int], float]:
    """What `loss` measures, as one writes it down: the whole network on all images, once for each site and bits; a
    weight that layers share in all of them at once, and of what that does to each of its sites the share of its
    elements.
    """
    real, found, tied = network.uniform(None, None), {}, shares_of(network.sites).values()
    with network.static(), network.using(real):
        before = cross_entropy(network, given.batches())
        for site in network.sites:
            together = next((of for of in tied if site.name in of), {site.name: 1.0})
            for b in bits:
                with network.using(dict.fromkeys(together, b)):
                    found[site.name, b] = together[site.name] * (cross_entropy(network, given.batches()) - before)
    return found
