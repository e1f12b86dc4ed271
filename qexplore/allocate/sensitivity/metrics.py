"""What a sensitivity metric is, the registry in which metrics are found, and the table that one gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.network.table import identity
from qexplore.numerics import MAX_BITS, checked_bits
from qexplore.ptq import Calibration
from qexplore.registry import Registry
from qexplore.report import Report

MENU = (2, 3, 4, 5, 6, 7, 8)
Losses = dict[tuple[str, int], float]


class Metric(Protocol):
    """(site, bits) → expected rise of the loss when this site alone is quantized."""

    def __call__(
        self, network: Network, calibration: Calibration, bits: Sequence[int], report: Report, /
    ) -> Losses: ...


METRICS: Registry[Metric] = Registry("sensitivity metric")


def sensitivity_table(
    network: Network, calibration: Calibration, metric: str, bits: Sequence[int] = MENU, report: Report | None = None
) -> pd.DataFrame:
    """One row for each site and bits with the column `loss` by `metric`, and the columns that identify the site.

    Among them, as in the table of sites, `sparsity` and `bitmap`, which tell the costs what is pruned.
    network: calibrated, so that every site has a range. Raises UnknownName for a metric that does not exist.
    """
    losses = METRICS.get(metric)(network, calibration, _menu(bits), report or Report())
    return table_of(network, losses, metric)


def table_of(network: Network, losses: Losses, metric: str) -> pd.DataFrame:
    """The table of losses that a metric has given."""
    known = {site.name: identity(network, site) for site in network.sites}
    menu = sorted({b for _, b in losses})
    rows = [{**known[site.name], "bits": b, "loss": losses[site.name, b]} for site in network.sites for b in menu]
    return pd.DataFrame(rows).assign(metric=METRICS.canonical(metric))


def _menu(bits: object) -> list[int]:
    """Numbers of bits in ascending order, each once."""
    wanted = list(bits) if isinstance(bits, Iterable) and not isinstance(bits, str) else []
    if not wanted:
        raise QexploreError(f"The bits to try are whole numbers from 1 to {MAX_BITS}, at least one; not {bits!r}.")
    return sorted({checked_bits(int(b) if isinstance(b, np.integer) else b) for b in wanted})
