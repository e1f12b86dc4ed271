"""What the tensors of a suspect look like: its values, its channels, and what its error does to the layer's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.network import Network, Site
from qexplore.network.execute import Values
from qexplore.network.fitting import Fitted
from qexplore.network.graph import LAYERS
from qexplore.numerics import QuantizationError, Rows, quantization_error
from qexplore.ptq import Calibration
from qexplore.ptq.calibrate import collect_samples
from qexplore.ptq.sweep import channels_first
from qexplore.report import Report

# Behind these channels may lie elsewhere, or there are none.
BARRIERS = ("reshape", "product", "value", "no-grid")


@dataclass(frozen=True, eq=False)
class Suspect:
    """A site that moves the softmax by itself, and its tensors.

    bits, usual: its own, and those that the recipe gives to its kind. divergence in nats, share: of the sum over sites.
    rows: real values, slice by slice (weights), or a sample of those that real weights give (activations).
    lo, hi: real ends of each channel [channels].
    lean: mean error of the layer's output, one value a channel; leaning: its share of the squared error (weights only).
    """

    site: Site
    bits: int
    usual: int
    divergence: float
    share: float
    fitted: Fitted
    rows: Rows
    error: QuantizationError
    lo: Tensor
    hi: Tensor
    lean: Tensor | None = None
    leaning: float = 0.0


def gather(
    network: Network,
    calibration: Calibration,
    found: Sequence[tuple[Site, float, float]],
    report: Report,
) -> list[Suspect]:
    """The suspects of (site, divergence, share), with what one pass over the calibration images tells of them."""
    real = {one.name: None for one in network.sites if one.kind == "weight"}
    with network.using(real):
        samples, ends = collect_samples(network, calibration, report)
    watchers = {site.name: _Watcher(network, site) for site, _, _ in found}
    _watch(network, calibration, list(watchers.values()))
    return [_suspect(network, site, apart, share, samples, ends, watchers[site.name]) for site, apart, share in found]


def _suspect(
    network: Network,
    site: Site,
    apart: float,
    share: float,
    samples: Mapping[str, Tensor],
    ends: Mapping[str, tuple[Tensor, Tensor]],
    seen: _Watcher,
) -> Suspect:
    bits = network.bits[site.name]
    fitted = network.fitted(site, bits)
    if site.kind == "weight":
        values, rows = network.layers[site.layer].weight, network.rows(site)
    else:
        values = samples[site.name]
        whole = values.view(-1, site.numel) if site == network.logits and len(site.shape) == 1 else None
        band = network.bands.get(site.name)
        rows = Rows.of(values.view(1, -1), f"The site {site.name!r}", ends[site.name], logits=whole, band=band)
    error = quantization_error(values, fitted.spec, fitted.range)
    usual = network.specs[site.kind].bits
    lo, hi = seen.ends()
    return Suspect(site, bits, usual, apart, share, fitted, rows, error, lo, hi, *seen.lean())


class _Watcher:
    """One site while the real network runs."""

    def __init__(self, network: Network, site: Site) -> None:
        self.network, self.site = network, site
        self._ends: list[tuple[Tensor, Tensor]] = []
        self._sums: list[Tensor] = []
        self._count, self._square = 0, 0.0
        if site.kind == "weight":
            bits, weight = network.bits[site.name], network.layers[site.layer].weight
            self.source = network.graph.by_name[site.at].inputs[0]
            self.change = network.quantized_weight(site, bits) - weight
            self.shift = network.correction(site, bits)

    def look(self, known: Values) -> None:
        """Takes note of one batch."""
        if self.site.kind == "weight":
            layer = self.network.layers[self.site.layer]
            error = channels_first(layer.forward(known[self.source], self.change, self.shift), layer).double()
            self._sums.append(error.sum(dim=1))
            self._square += float(error.square().sum())
            self._count += error.shape[1]
            return
        value = known[self.site.at]
        value = value[:, None] if value.dim() == 1 else value
        rows = value.movedim(channel_axis(self.network, self.site, value), 0).flatten(1)
        self._ends.append((rows.amin(dim=1), rows.amax(dim=1)))

    def ends(self) -> tuple[Tensor, Tensor]:
        """Real ends of each channel."""
        if self.site.kind == "weight":
            rows = self.network.layers[self.site.layer].weight.flatten(1)
            return rows.amin(dim=1), rows.amax(dim=1)
        lows, highs = zip(*self._ends, strict=True)
        return torch.stack(lows).amin(dim=0), torch.stack(highs).amax(dim=0)

    def lean(self) -> tuple[Tensor | None, float]:
        """Mean error of each output channel, and its share of the squared error."""
        if self.site.kind != "weight":
            return None, 0.0
        mean = torch.stack(self._sums).sum(dim=0) / self._count
        return mean.float(), float(mean.square().sum() * self._count) / max(self._square, 1e-300)


def channel_axis(network: Network, site: Site, value: Tensor) -> int:
    """Where the channels of an activation lie: behind the images, but last next to linear layers, and in tokens
    [images, places, channels] that no layer is next to.
    """
    kinds = _layers_beside(network, site)
    last = "linear" in kinds or value.dim() == 3
    return value.dim() - 1 if last and "conv" not in kinds else 1


def _layers_beside(network: Network, site: Site) -> set[str]:
    """Kind of the layer that gives the site; else of those next to it, up to where dimensions change their order."""
    graph = network.graph
    if site.layer in network.layers:
        return {network.layers[site.layer].kind}
    kinds, seen, waiting = set[str](), {site.at}, [site.at]
    while waiting:
        name = waiting.pop()
        for near in {*graph.by_name[name].inputs, *graph.readers[name]} - seen:
            seen.add(near)
            kind = graph.by_name[near].kind
            if kind in LAYERS:
                kinds.add(kind)
            elif kind not in BARRIERS:
                waiting.append(near)
    return kinds


def _watch(network: Network, calibration: Calibration, watchers: Sequence[_Watcher]) -> None:
    real = network.real_plan()
    with torch.inference_mode():
        for x, _ in calibration.batches():
            known: Values = {}
            real.watch(x, known.__setitem__)
            known[real.input] = known.get(real.input, x)
            for watcher in watchers:
                watcher.look(known)
