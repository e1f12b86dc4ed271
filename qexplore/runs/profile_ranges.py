"""The tables of a profile about ranges: every estimator at every site, and each estimator everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import Any

import pandas as pd

from qexplore.allocate.sensitivity import MENU
from qexplore.errors import QexploreError
from qexplore.network import Judged, Network, Site, compare, evaluate, judge
from qexplore.numerics import RANGES, quantization_error
from qexplore.recipes.images import images_of
from qexplore.recipes.verbs import columns
from qexplore.report import Report
from qexplore.runs.trying import trying
from qexplore.zoo import Task

MEASURED = (2, 3, 4)  # bits at which the choice of a range shows in the accuracy
FIGURES = ("accuracy", "low", "high", "images", "gained", "lost", "change", "p")
EVERYWHERE = ("kind", "method", "bits", "accuracy", "low", "high", "images")
LOGITS = "mse + cross-entropy"
DYNAMIC = "min-max, dynamic"


def range_table(task: Task, network: Network, report: Report, measured: Sequence[int] = MEASURED) -> pd.DataFrame:
    """A row for each site, bits and estimator that can serve the site.

    lo, hi: ends of the range, over all channels; scale: of the coarsest channel; rounding, clipping: mean squared
    error, unit of the site squared; sqnr_db. accuracy, low, high, images: measured with this site alone at these bits
    and everything else as the recipe leaves it; gained, lost, change, p: paired with what the recipe has there, which
    may be a learned rounding, while these round to nearest. NaN at other bits than `measured`.
    """
    rows = []
    for site in report.track(network.sites, "comparing range estimators"):
        methods = serving(network, site)
        for bits in MENU:
            before = _judged(task, network, site, bits) if bits in measured else None
            rows += [_row(task, network, site, bits, method, before) for method in methods]
    return pd.DataFrame(rows)


def serving(network: Network, site: Site) -> list[str]:
    """Names of the estimators that can give `site` a range."""
    found = []
    for method in RANGES:
        try:
            with trying(network, {site.name: {"method": method}}):
                network.fitted(site, max(MENU))
        except QexploreError:  # it needs what this site does not have
            continue
        found.append(method)
    return found


def _row(task: Task, network: Network, site: Site, bits: int, method: str, before: Judged | None) -> dict[str, Any]:
    with trying(network, {site.name: {"method": method}}):
        spec, interval, grid, _ = network.fitted(site, bits)
        error = quantization_error(network.values(site), spec, interval)
        after = None if before is None else _judged(task, network, site, bits)
    return {
        "site": site.name,
        "kind": site.kind,
        "method": method,
        "bits": bits,
        "lo": float(interval.lo.min()),
        "hi": float(interval.hi.max()),
        "scale": float(grid.scale.max()),
        "sqnr_db": error.sqnr_db,
        "rounding": error.rounding,
        "clipping": error.clipping,
        **_accuracy(before, after),
    }


def _accuracy(before: Judged | None, after: Judged | None) -> dict[str, float]:
    if before is None or after is None:
        return dict.fromkeys(FIGURES, float("nan"))
    found = columns(after, before) | asdict(compare(before, after))
    return {name: found[name] for name in FIGURES}


def _judged(task: Task, network: Network, site: Site, bits: int) -> Judged:
    with network.using({site.name: bits}):
        return judge(network, images_of(task))


def estimator_table(task: Task, network: Network, report: Report, measured: bool = True) -> pd.DataFrame:
    """A row for each kind of site, bits and estimator: all sites of the kind at these bits with ranges by this
    estimator, the other kind as the recipe leaves it. accuracy, low, high, images: as measured.

    LOGITS: mse everywhere, but cross-entropy at the logits. DYNAMIC: every image finds its own min-max while the
    network runs. An estimator that cannot serve every site is left out. No row unless `measured`.
    """
    if not measured:
        return pd.DataFrame(columns=EVERYWHERE)
    tries = [(kind, method) for kind in ("weight", "activation") for method in RANGES]
    if network.logits is not None:
        tries.append(("activation", LOGITS))
    tries.append(("activation", DYNAMIC))
    rows = []
    for kind, method in report.track(tries, "one range estimator everywhere"):
        with suppress(QexploreError), _everywhere(network, kind, method):
            rows += [{"kind": kind, "method": method, **row} for row in _by_bits(task, network, kind)]
    return pd.DataFrame(rows)


@contextmanager
def _everywhere(network: Network, kind: str, method: str) -> Iterator[None]:
    """The network with the ranges of all sites of a kind by `method`; always restores, learned roundings too."""
    dynamic = network.dynamic
    logits = network.logits if method == LOGITS else None
    with network.estimating(kind, {LOGITS: "mse", DYNAMIC: "min-max"}.get(method, method), {}):
        network.set_dynamic(method == DYNAMIC or (dynamic and kind == "weight"))
        try:
            with nullcontext() if logits is None else trying(network, {logits.name: {"method": "cross-entropy"}}):
                yield
        finally:
            network.set_dynamic(dynamic)


def _by_bits(task: Task, network: Network, kind: str) -> list[dict[str, Any]]:
    rows = []
    for bits in MENU:
        with network.using({site.name: bits for site in network.sites if site.kind == kind}):
            found = evaluate(network, images_of(task))
        rows.append(
            {"bits": bits, "accuracy": found.value, "low": found.low, "high": found.high, "images": found.images}
        )
    return rows
