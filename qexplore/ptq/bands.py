"""Where the values of each activation site lie by what batch norms tell, without an image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Op
from qexplore.numerics import Band
from qexplore.ptq.moments import Told, tell


def site_bands(network: Network, interval: tuple[float, float] | None = None) -> dict[str, Band]:
    """Activation site → band, for those of which the batch norms tell; interval: the ends of the images' values.

    The white paper's band β ± α γ (§3.1) stands at the batch norms. The rest is this project's own: |γ| for γ, a clamp
    cuts the band, pools and reshapes keep it, a concatenation has those of its parts, an addition and a layer without
    a batch norm that of their moments.
    """
    told = tell(network)
    bands: dict[str, Band] = {}
    for op in network.graph.ops:
        found = _of(op, told, bands, interval)
        if found is not None:
            bands[op.name] = found
    return {site.name: bands[name] for name, site in network.placement.at.items() if name in bands}


def _of(
    op: Op, told: Mapping[str, Told], bands: Mapping[str, Band], interval: tuple[float, float] | None
) -> Band | None:
    if op.kind == "input":
        return None if interval is None else Band.between(*interval)
    if op.kind in (*LAYERS, "batchnorm"):
        return Band.around(told[op.name].moments) if op.name in told else None
    sources = [bands[name] for name in op.inputs if name in bands]
    if not sources or op.inputs[0] not in bands:
        return None
    if op.kind == "clamp":
        fits = not isinstance(op.upper, Tensor) or op.upper.numel() in (1, len(sources[0].mean))
        return sources[0].cut(op.lower, op.upper) if fits else None
    if op.kind == "add" and op.name in told:
        return _sum(Band.around(told[op.name].moments), sources)
    if op.kind == "concat" and len(sources) == len(op.inputs):
        return Band(*(torch.cat([getattr(s, end) for s in sources]) for end in ("mean", "std", "lower", "upper")))
    return sources[0] if op.kind in ("max-pool", "avg-pool", "reshape") else None


def _sum(band: Band, sources: list[Band]) -> Band:
    """The band of a sum: no further out than the ends of its operands together."""
    lower = sum(float(source.lower.amin()) for source in sources)
    upper = sum(float(source.upper.amax()) for source in sources)
    return band.cut(lower, upper)
