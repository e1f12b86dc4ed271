"""The table of sites: what is quantized, how large it is, and what it loses at its present bits."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.network.network import Network
from qexplore.network.placement import Site
from qexplore.numerics import sqnr_db


def identity(site: Site) -> dict[str, Any]:
    """The columns that say which site a row is about."""
    return {
        "site": site.name,
        "index": site.index,
        "kind": site.kind,
        "layer": site.layer,
        "op": site.op,
        "numel": site.numel,
        "macs": site.macs,
        "tied": site.tied,
        "input": site.source,
    }


def power(network: Network, site: Site) -> float:
    """Mean square of the site's values; NaN where none was seen."""
    seen = network.values(site).numel()
    return float(network.rows(site).squares[:, -1].sum()) / seen if seen else float("nan")


def site_table(network: Network) -> pd.DataFrame:
    """One row a site at its present bits; one row, without bits, for each operation whose inside stays unquantized.

    lo, hi: ends of the range, over all channels; sqnr_db: signal over quantization noise, totals over the weight or the
    calibration sample. NaN where a site is real, sqnr_db also where its range was found without images.
    """
    rows = [_row(network, site) for site in network.sites]
    for name, reason in network.opaque:
        rows.append(
            {"site": name, "index": len(rows), "kind": "opaque", "layer": name, "op": reason, "tied": name, "input": ""}
        )
    table = pd.DataFrame(rows)
    for column in ("numel", "macs"):
        table[column] = table[column].fillna(0).astype("int64")
    table["bits"] = table["bits"].astype("Int64")
    return table


def _row(network: Network, site: Site) -> dict[str, Any]:
    bits = network.bits.get(site.name)
    row = {**identity(site), "shape": "×".join(map(str, site.shape)), "bits": bits}
    if bits is None:
        return {**row, "lo": float("nan"), "hi": float("nan"), "sqnr_db": float("nan"), "granularity": ""}
    spec, interval, *_ = network.fitted(site, bits)
    return {
        **row,
        "lo": float(interval.lo.min()),
        "hi": float(interval.hi.max()),
        "sqnr_db": sqnr_db(power(network, site), network.noise(site, bits)),
        "granularity": str(spec.granularity),
    }
