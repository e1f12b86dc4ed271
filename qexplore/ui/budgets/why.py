"""The picked site: its values on their grid, what each bit width loses, and what one more bit would buy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from pandas import DataFrame

from qexplore import figures
from qexplore.figures import Grid
from qexplore.figures.metrics import scale_of
from qexplore.figures.words import small
from qexplore.runs.profiles import METRIC, Profile
from qexplore.ui.draw import figure
from qexplore.ui.locks import write_locks
from qexplore.ui.stored import row_of

_AUTO = "auto"


def why(profile: Profile, table: DataFrame, site: str, bits: Mapping[str, int], locked: Mapping[str, int]) -> None:
    """Draws the panel of one site."""
    row = row_of(profile.sites, site)
    st.markdown(
        f"**Why {bits[site]} bits?** :gray[:small[site {row['index']} · {row['kind']} · {row['op']} · {row['shape']}]]"
    )
    _lock(profile.sites, table, site, locked)
    drawn = figures.histogram(profile.tensor(site), grid_of(profile, row, bits[site]), site, height=140)
    figure(drawn, key="why-values", words=False)
    figure(figures.losses(table, site, bits[site], metric=METRIC), key="why-losses", words=False)
    st.caption(" ".join(_facts(row, table, site, bits[site])))


def grid_of(profile: Profile, row: Mapping[str, Any], bits: int) -> Grid:
    """The grid that the stored range of a site spans at `bits`; with a grid per channel, that of the widest."""
    side = profile.recipe["weights" if row["kind"] == "weight" else "activations"]
    symmetric = bool(side.get("symmetric", row["kind"] == "weight"))
    return figures.grid(
        float(row["lo"]),
        float(row["hi"]),
        bits,
        symmetric=symmetric,
        signed=bool(side.get("signed", symmetric) if side.get("signed") is not None else symmetric),
        power_of_two=bool(side.get("power_of_two")),
    )


def _facts(row: Mapping[str, Any], table: DataFrame, site: str, bits: int) -> list[str]:
    losses = table[table["site"] == site].set_index("bits")["loss"]
    grids = ", one grid a channel: the widest is drawn" if row["granularity"] == "channel" else ""
    said = [
        f"Range {row['lo']:.3g} to {row['hi']:.3g}{grids}; SQNR {row['sqnr_db']:.1f} dB at 8 bits.",
        f"{int(row['numel']):,} elements, {int(row['macs']):,} MACs per image.",
    ]
    more = [b for b in losses.index if b > bits]
    if more:
        up = min(more)
        kept = int(row["numel"]) * (1 - row.get("sparsity", 0.0))
        size = f" and costs {kept * (up - bits) / 8000:.3f} KB" if row["kind"] == "weight" else ""
        extra = "1 bit more lowers" if up - bits == 1 else f"{up - bits} bits more lower"
        scale = scale_of(METRIC)
        less = f"{small(float(losses[bits] - losses[up]))}{scale.unit}"
        said.append(f"{extra} the predicted {scale.name} by {less}{size}.")
    return said


def _lock(sites: DataFrame, table: DataFrame, site: str, locked: Mapping[str, int]) -> None:
    menu = [_AUTO, *(str(b) for b in sorted(table["bits"].unique()))]
    now = str(locked.get(site, _AUTO))
    key = f"lock-{site}-{now}"

    def change() -> None:
        chosen = st.session_state[key]
        others = {name: b for name, b in locked.items() if name != site}
        kept = others if chosen == _AUTO else {**others, site: int(chosen)}
        st.session_state["lock"] = write_locks(kept, sites)

    start = now if now in menu else _AUTO
    st.segmented_control("keep this site at", menu, default=start, required=True, key=key, on_change=change)
