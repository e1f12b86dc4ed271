"""Bits over time: a row a site, a piece for as long as its bits stay the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from qexplore.figures.figure import Live
from qexplore.figures.training.bits_drawing import REAL, ROOM, drawing
from qexplore.figures.training.thin import every
from qexplore.figures.words import listed

Moment = tuple[float, Mapping[str, int]]
"""Epoch, and site → bits from then on; absent sites are real."""
_COLUMNS_AT_MOST = 60
_PIECES_AT_MOST = 1800  # an SVG of more marks is slow


def bits(
    moments: Sequence[Moment],
    sites: pd.DataFrame,
    until: float,
    epochs: float,
    *,
    at: float | None = None,
    picked: str = "",
) -> Live:
    """Site × time. moments: the allocations in order. sites: site, index, kind. until: epoch that training has reached.
    epochs: of the whole training. at: epoch of the allocation that is looked at. picked: a site.

    The selection "piece" reports the name of the site that is clicked. Where there are too many changes to draw, some
    allocations are left out of the drawing.
    """
    order = pd.concat([sites[sites["kind"] == kind] for kind in ("weight", "activation")], ignore_index=True)
    order = order[["site", "index", "kind"]].assign(rank=range(len(order)))
    pieces, shown = _drawable(moments, order, until)
    first = order[order["kind"] == "activation"].head(1)
    step = max(3, min(16, 640 // max(1, len(order))))
    return Live(
        title="Map of the bits of each site over the epochs.",
        name="training-bits",
        alt=_finding(moments, sites),
        look=_look(shown, len(moments), step),
        data=_every_piece(moments, order, until),
        spec=drawing(step, max(float(epochs), 1e-9)),
        tables={
            "pieces": pieces,
            "sites": order,
            "border": first[["index", "rank"]],
            "now": pd.DataFrame({"epoch": [] if at is None else [at]}),
            "picked": order.loc[order["site"] == picked, ["index", "rank"]].assign(epoch=0.0, to=float(epochs)),
        },
        picks="piece",
    )


def changes(moments: Sequence[Moment]) -> str:
    """'The bits changed at 3 of 21 re-allocations, last at epoch 4.5; since then they stay.' Nothing before
    there is a second allocation.
    """
    again = list(pairwise(moments))
    at = [epoch for (_, before), (epoch, bits) in again if bits != before]
    if not at:
        return "No re-allocation changed the bits of the first allocation." if again else ""
    stay = "; since then they stay" if at[-1] < moments[-1][0] else ""
    return f"The bits changed at {len(at):,} of {len(again):,} re-allocations, last at epoch {at[-1]:.3g}{stay}."


def _drawable(moments: Sequence[Moment], order: pd.DataFrame, until: float) -> tuple[pd.DataFrame, int]:
    """As many allocations as can be drawn; also how many these are."""
    columns = min(len(moments), _COLUMNS_AT_MOST)
    while True:
        kept = [moments[i] for i in every(len(moments), columns)]
        pieces = _pieces(kept, order, until)
        if len(pieces) <= max(_PIECES_AT_MOST, len(order)) or columns <= 2:
            return pieces.drop(columns="site"), len(kept)
        columns = max(2, columns * 3 // 4)


def _pieces(moments: Sequence[Moment], order: pd.DataFrame, until: float) -> pd.DataFrame:
    """A row for each stretch of time in which the bits of a site stay the same."""
    if not moments:
        return pd.DataFrame(columns=["site", "index", "rank", "epoch", "bits", "to"])
    epochs = np.array([epoch for epoch, _ in moments])
    table = np.array([[bits_of.get(site, REAL) for site in order["site"]] for _, bits_of in moments])
    begins = np.ones_like(table, dtype=bool)
    begins[1:] = table[1:] != table[:-1]
    place, moment = np.nonzero(begins.T)  # site after site, each in order of time
    last = np.append(place[1:] != place[:-1], True)
    after = np.append(epochs[moment[1:]], 0.0)
    to = np.where(last, np.maximum(until, epochs[moment]), after)
    rows = order[["site", "index", "rank"]].iloc[place].reset_index(drop=True)
    return rows.assign(epoch=epochs[moment].round(4), bits=table[moment, place], to=to.round(4))


def _every_piece(moments: Sequence[Moment], order: pd.DataFrame, until: float) -> pd.DataFrame:
    pieces = _pieces(moments, order, until).merge(order[["site", "kind"]], on="site")
    return pieces[["site", "index", "kind", "epoch", "to", "bits"]].rename(columns={"epoch": "from"})


def _look(shown: int, of: int, step: int) -> str:
    text = "Weights above, activations below; each piece is a stretch of time with the same bits"
    text += ", printed in it where there is room." if step >= ROOM else ", told under the pointer."
    left = f" {shown} of {of} allocations are drawn." if shown < of else ""
    return f"{text} The upright line is the moment shown beside it; a click picks a site.{left}"


def _finding(moments: Sequence[Moment], sites: pd.DataFrame) -> str:
    if not moments:
        return "No allocation has been told yet."
    first, last = moments[0][1], moments[-1][1]
    change = {site: last[site] - first[site] for site in last if site in first}
    up = sorted((site for site in change if change[site] > 0), key=lambda s: -change[s])
    down = sorted((site for site in change if change[site] < 0), key=lambda s: change[s])
    said = f"{len(moments):,} allocations of {len(sites)} sites"
    parts = [f"more bits than at first: {listed(up)}" if up else "", f"fewer: {listed(down)}" if down else ""]
    told = "; ".join(part for part in parts if part)
    return f"{said}; {told}." if told else f"{said}; every site ends with the bits that it began with."
