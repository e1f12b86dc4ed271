"""The quantizers of all sites in training: what they learn, and how they follow when bits change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError
from qexplore.network import Network, Site
from qexplore.network.fitting import Fitted
from qexplore.numerics import Range, Spec, power_of_two
from qexplore.numerics.learned import Codes, Seen, along, fake_quantize_rows, round_units

LEAST = 0.02  # of its first size, below which a scale does not fall
INSIDE = 0.1  # of a step of the grid: further than early steps of training move a scale, or they would turn codes back


@dataclass
class Quantizer:
    """One site's grid in training: scale s = base · size, zero point z = levels · offset, levels = 2^bits - 1.

    first: [slices], the scale at the start, unit of the tensor for each code, when the grid had `steps` + 1 codes;
    base: the same at the present bits, over the same range. size: parameter [slices], 1 at the start. offset:
    parameter [1], the zero point's place on the grid from 0 to 1, learned or not; None where the grid is symmetric.

    Project's own choice: sizes and offsets are learned and not scales and zero points, so that one learning rate fits
    all sites, and what an optimizer remembers of their gradients stays true when the bits change.
    """

    site: Site
    spec: Spec
    first: Tensor
    steps: int
    base: Tensor
    size: nn.Parameter
    offset: nn.Parameter | None
    seen: Seen | None = field(default=None, repr=False)

    @staticmethod
    def of(site: Site, fitted: Fitted, *, learn: bool, one_sided: bool) -> Quantizer:
        """The quantizer that starts as `fitted` is; learn: whether its range is learned at all."""
        spec, grid = fitted.spec, fitted.grid
        steps = grid.qmax - grid.qmin
        place = None if spec.symmetric else (grid.zero - grid.qmin) / steps
        offset = None if place is None else nn.Parameter(place, requires_grad=learn and not one_sided)
        size = nn.Parameter(torch.ones_like(grid.scale), requires_grad=learn)
        return Quantizer(site, spec, grid.scale.clone(), steps, grid.scale.clone(), size, offset)

    @property
    def levels(self) -> int:
        return self.spec.qmax - self.spec.qmin

    @property
    def scale(self) -> Tensor:
        """[slices]; differentiable to `size`."""
        return self.base * self.size

    @property
    def zero(self) -> Tensor:
        """The zero point as a real number, one element; it is rounded where it is used."""
        if self.offset is None:
            return torch.zeros(())
        return self.spec.qmin + self.levels * self.offset[0]

    @property
    def lsq(self) -> Tensor:
        """[slices]; with the gradient of `size` times this, a step of SGD moves the scale as LSQ does, which multiplies
        the scale's own gradient with 1 / √(N Q): N elements an image or a weight's slice, Q the greatest code (Esser et
        al. 2020).
        """
        elements = max(1, math.prod(self.site.shape) // len(self.base))
        return 1 / (self.base**2 * math.sqrt(elements * max(1, self.spec.qmax)))

    def round(self, units: Tensor, scale: Tensor, lower: float | None = None, upper: float | None = None) -> Tensor:
        """Codes less the zero point of an activation in units of `scale`, after a clamp to [lower, upper] (real)."""
        floor, ceiling = (None if bound is None else _bound(bound, scale) for bound in (lower, upper))
        codes, unit = Codes(self.spec.qmin, self.spec.qmax), float(scale.detach())
        return round_units(units, self.zero, codes, floor, ceiling, self.seen, unit)

    def weight(self, weight: Tensor) -> Tensor:
        """ŵ, shape and order in memory of `weight`."""
        codes = Codes(self.spec.qmin, self.spec.qmax)
        if self.spec.granularity in ("tensor", "channel"):
            return fake_quantize_rows(weight, self.scale, codes, self.seen)
        rows = fake_quantize_rows(self.spec.slices(weight), self.scale, codes, self.seen)
        return self.spec.unslice(rows, weight.shape)

    @torch.no_grad()
    def steps_of(self, weight: Tensor) -> Tensor:
        """The scale that belongs to each element of a weight, in a shape that broadcasts to it."""
        scale = self.base * self.size
        if self.spec.granularity in ("tensor", "channel"):
            return along(scale, weight)
        return self.spec.unslice(scale[:, None].expand_as(self.spec.slices(weight)), weight.shape)

    def codes(self, weight: Tensor) -> Tensor:
        """Integer codes of a weight, without a gradient."""
        return weight.detach().div(self.steps_of(weight)).round_().clamp_(self.spec.qmin, self.spec.qmax)

    @torch.no_grad()
    def latent(self, weight: Tensor, learned: Tensor) -> Tensor:
        """The weight near `weight` that is rounded to `learned`, values of this grid: where nearest rounding would not
        give it, the point of the learned code's cell that is nearest, INSIDE its border (project's own choice).
        """
        step, codes = self.steps_of(weight), self.codes(learned)
        reach = 0.5 - INSIDE
        moved = weight.clamp((codes - reach) * step, (codes + reach) * step)
        return torch.where(self.codes(weight) == codes, weight, moved)

    def set_bits(self, bits: int) -> None:
        """Other bits with the range kept: the step grows or shrinks with the number of levels, and the zero point
        stays where it is on the grid (how QBitOpt does it is not known to us).

        Kept is the distance from the lowest level to the highest. A signed grid has one level more below zero, so that
        with fewer bits it reaches further down and less far up: from 4 to 2 bits −8 … 7 steps become −10 … 5 of them.
        The project's own choice: the other way would keep the upper end, and let the lower one go further still.
        """
        self.spec = replace(self.spec, bits=bits)
        self.base = self.first * (self.steps / self.levels)
        if self.spec.power_of_two:
            self.base = power_of_two(self.base)

    @torch.no_grad()
    def hold(self) -> None:
        """Keeps the size positive and the zero point on the grid, after a step of the optimizer."""
        self.size.clamp_(min=LEAST)
        if self.offset is not None:
            self.offset.clamp_(0, 1)

    def at(self, bits: int) -> Quantizer:
        """This quantizer as it would be at other bits, with the range kept; it shares what is learned."""
        other = replace(self)
        other.set_bits(bits)
        return other

    @torch.no_grad()
    def range(self) -> Range:
        """The interval that the grid spans now."""
        scale = self.base * self.size
        zero = float(self.zero.round().clamp(self.spec.qmin, self.spec.qmax))
        return Range(scale * (self.spec.qmin - zero), scale * (self.spec.qmax - zero))

    @torch.no_grad()
    def clipped(self, values: Tensor) -> Tensor:
        """`values`, in the site's unit, within the interval that the grid spans now: a weight in its own shape, whose
        slices have intervals of their own, or values of an activation in any shape.
        """
        if self.site.kind != "weight":
            ends = self.range()
            return values.clamp(ends.lo, ends.hi)
        step = self.steps_of(values)
        return torch.minimum(torch.maximum(values, self.spec.qmin * step), self.spec.qmax * step)


def _bound(bound: float, scale: Tensor) -> Tensor:
    """A bound in units of the scale; 0 is 0 in all of them."""
    return bound / scale if bound else torch.zeros_like(scale.detach())


def check_grids(network: Network, *, learn: bool) -> None:
    """QexploreError, before anything is computed, for grids that cannot be trained: asymmetric ones of weights, ranges
    that are found image by image, and power-of-two scales where ranges are learned.
    """
    if network.dynamic:
        raise QexploreError(
            "Activations find their ranges image by image (dynamic: true), which training cannot learn: set dynamic: "
            "false in the step 'activation-ranges'."
        )
    for site in network.sites:
        if site.name not in network.bits:
            continue
        spec = network.specs[site.kind]
        if site.kind == "weight" and not spec.symmetric:
            raise QexploreError(f"The weight {site.name!r} lies on an asymmetric grid: set weights.symmetric to true.")
        if learn and spec.power_of_two:
            raise QexploreError(
                f"The site {site.name!r} has a power-of-two scale, which cannot be learned: set learn: false, or "
                "power_of_two: false."
            )


def quantizers_of(network: Network, *, learn: bool) -> dict[str, Quantizer]:
    """A quantizer for every site that has bits, from its range in the network.

    Layers that share a weight share what its quantizer learns. The grids are such as `check_grids` lets pass.
    """
    found: dict[str, Quantizer] = {}
    for site in network.sites:
        bits = network.bits.get(site.name)
        if bits is None:
            continue
        leader = found.get(site.tied) if site.kind == "weight" else None
        if leader is not None and leader.spec.bits == bits:
            found[site.name] = replace(leader, site=site)
            continue
        fitted = network.fitted(site, bits)
        found[site.name] = Quantizer.of(site, fitted, learn=learn, one_sided=_one_sided(network, site))
    return found


def _one_sided(network: Network, site: Site) -> bool:
    """Whether no value of an activation is below 0 (a ReLU gives it), so that its zero point is the lowest code."""
    op = network.graph.by_name[site.at]
    return op.kind == "clamp" and op.lower is not None and op.lower >= 0


def bits_of(quantizers: Mapping[str, Quantizer]) -> dict[str, int]:
    """Bits of every site."""
    return {name: quantizer.spec.bits for name, quantizer in quantizers.items()}
