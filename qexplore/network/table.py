"""The table of sites: what is quantized, how large it is, and what it loses at its present bits."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from qexplore.network.network import Network
from qexplore.network.placement import Site
from qexplore.network.sparsity import bitmap, sparsity
from qexplore.numerics import sqnr_db


def identity(network: Network, site: Site) -> dict[str, Any]:
    """The columns that say which site a row is about, how large it is and how much of it is pruned.

    sparsity: share of a weight's elements that a mask keeps at 0; bitmap: bits that tell which are not pruned (0 where
    whole channels are), of a weight that layers share all on the first of them.
    """
    mask = network.masks.get(site.layer) if site.kind == "weight" else None
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
        "sparsity": sparsity(mask),
        "bitmap": bitmap(mask) if site.tied == site.name else 0,
    }


def power(network: Network, site: Site) -> float:
    """Mean square of the site's values; NaN where none was seen."""
    values = network.values(site)
    norm = torch.linalg.vector_norm(values, dtype=torch.float64)
    return float(norm.square()) / values.numel() if values.numel() else float("nan")


def site_table(network: Network) -> pd.DataFrame:
    """One row a site at its present bits; one row, without bits, for each operation whose inside stays unquantized.

    lo, hi: ends of the range, over all channels; sqnr_db: signal over quantization noise, totals over the weight or the
    calibration sample. NaN where a site is real, sqnr_db also where its range was found without images.
    """
    bits = network.bits
    rows = [_row(network, site, bits.get(site.name)) for site in network.sites]
    for name, reason in network.opaque:
        rows.append(
            {"site": name, "index": len(rows), "kind": "opaque", "layer": name, "op": reason, "tied": name, "input": ""}
        )
    table = pd.DataFrame(rows)
    for column in ("numel", "macs", "bitmap"):
        table[column] = table[column].fillna(0).astype("int64")
    table["sparsity"] = table["sparsity"].fillna(0.0)
    table["bits"] = table["bits"].astype("Int64")
    return table


def _row(network: Network, site: Site, bits: int | None) -> dict[str, Any]:
    row = {**identity(network, site), "shape": "×".join(map(str, site.shape)), "bits": bits}
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
