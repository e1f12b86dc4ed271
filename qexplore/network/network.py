"""The captured model with its sites, whose bits and ranges change in place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.errors import UnknownName
from qexplore.network.capture import capture
from qexplore.network.execute import Plan, Weight, compile_plan
from qexplore.network.fitting import Estimator, Fitted, Own, as_signed_as_needed, fit, rows_of, what_of
from qexplore.network.graph import Graph, Layer, channels_last
from qexplore.network.heap import give_back
from qexplore.network.kept import Kept
from qexplore.network.layers import layers_of
from qexplore.network.order import orders
from qexplore.network.placement import Placement, Site, origin_of, place
from qexplore.network.sparsity import checked_mask, masked
from qexplore.numerics import Band, Range, Rows, Spec, checked_bits

# The white paper's recommendation: weights symmetric, per channel where the target allows; activations asymmetric.
WEIGHTS = Spec(granularity="channel")
ACTIVATIONS = Spec(symmetric=False)
LARGE = 1 << 19  # elements of a weight, two megabytes of float32, from which a plan holds its codes alone
SUMMED = 5  # bytes of sorted values with their prefix sums, over those of the values


class Network:
    """A network on which sites can be quantized one by one.

    A site without bits is real (float32). Every site with bits needs a range: weights find theirs from their own
    values, activations from the samples that calibration has left, or from what batch norms tell. Ranges are
    found once and kept until the weights, the estimator or the sample change; so are sorted values and the codes of
    weights, as far as they take little memory.
    """

    def __init__(self, graph: Graph, layers: dict[str, Layer], weights: Spec, activations: Spec) -> None:
        self.graph = graph
        self.layers = layers
        self.placement: Placement = place(graph, layers)
        self.masks: dict[str, Tensor] = {}
        self.samples: dict[str, Tensor] = {}
        self.bands: dict[str, Band] = {}
        self._ends: dict[str, tuple[Tensor, Tensor]] = {}
        self.specs: dict[str, Spec] = {"weight": weights, "activation": activations}
        self.estimators: dict[str, Estimator] = {"weight": ("mse", {}), "activation": ("mse", {})}
        self.own: dict[str, Own] = {}
        self.dynamic = False
        self._bits: dict[str, int] = {}
        self._fixed: dict[str, Range] = {}
        self._rows: dict[str, Rows] = Kept(lambda rows: SUMMED * rows.values.nbytes)
        self._fitted: dict[tuple[str, int], Fitted] = {}
        self._codes: dict[tuple[str, int], Tensor] = Kept(lambda codes: codes.nbytes)
        self._learned: dict[tuple[str, int], Tensor] = {}
        self._corrections: dict[tuple[str, int], Tensor] = {}
        self._plan: Plan | None = None

    @staticmethod
    def of(model: nn.Module, example: Tensor, weights: Spec = WEIGHTS, activations: Spec = ACTIVATIONS) -> Network:
        """Captures `model` (its eval mode) on inputs like `example`, a batch of 1; the model itself is not touched.

        weights, activations: the quantizers that steps give to the sites. Every site starts real.
        """
        captured = capture(model, example)
        network = Network(captured.graph, layers_of(captured.graph), weights, activations)
        plan = network.real_plan()
        shapes: dict[str, tuple[int, ...]] = {}

        def run(x: Tensor) -> Tensor:
            return plan.watch(x, lambda name, value: shapes.update({name: getattr(value, "shape", ())}), keeps=False)

        captured.check(run)  # with two images in the end
        captured.graph.settle_axes(shapes)
        captured.graph.settle_orders(orders(captured.graph, plan, captured.expected[0][0]))
        return network

    # --- sites -------------------------------------------------------------------------------------------------

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.placement.sites

    @property
    def opaque(self) -> list[tuple[str, str]]:
        """(operation, reason) for each one whose inside is not quantized."""
        return [(op.name, op.reason) for op in self.graph.ops if op.reason]

    def site(self, name: str) -> Site:
        found = next((site for site in self.sites if site.name == name), None)
        if found is None:
            raise UnknownName("site", name, [site.name for site in self.sites])
        return found

    @property
    def logits(self) -> Site | None:
        """The site on whose grid the output lies; None where no site reaches it."""
        name = self.placement.grid[self.graph.output]
        return next((site for site in self.sites if site.name == name), None)

    def keeps_images(self, site: Site) -> bool:
        """Whether the sample of the site must have every value, image by image: those of logits [images, classes]."""
        return site == self.logits and len(site.shape) == 1

    @property
    def bits(self) -> dict[str, int]:
        """Bits of every site that is quantized at present."""
        return dict(self._bits)

    @contextmanager
    def using(self, allocation: Mapping[str, int | None]) -> Iterator[Network]:
        """The network with the bits of `allocation` (None: real) on top of its own; always restores."""
        before = self.bits
        try:
            self.set_bits(allocation)
            yield self
        finally:
            self._bits = before
            self._plan = None

    @contextmanager
    def among(self, names: Collection[str]) -> Iterator[Network]:
        """The network as though it had no other sites than those named, so that what goes through its sites asks no
        other for a range; every site with bits must be named. Always restores.
        """
        before = self.placement
        try:
            self.placement = replace(before, sites=tuple(site for site in before.sites if site.name in names))
            self._plan = None
            yield self
        finally:
            self.placement = before
            self._plan = None

    def set_bits(self, allocation: Mapping[str, int | None]) -> None:
        """Changes the bits of the named sites; None makes a site real. UnknownName for a site that does not exist."""
        known = {site.name for site in self.sites}
        for name in allocation:
            if name not in known:
                raise UnknownName("site", name, sorted(known))
        checked = {name: None if bits is None else checked_bits(bits) for name, bits in allocation.items()}
        self._bits = {name: bits for name, bits in {**self._bits, **checked}.items() if bits is not None}
        self._plan = None

    def uniform(self, weight_bits: int | None, activation_bits: int | None) -> dict[str, int | None]:
        """The allocation that gives all weights and all activations the same bits."""
        return {s.name: weight_bits if s.kind == "weight" else activation_bits for s in self.sites}

    def uniform_activations(self, bits: int | None) -> dict[str, int | None]:
        """The allocation that gives all activations the same bits and leaves the weights alone."""
        return {s.name: bits for s in self.sites if s.kind == "activation"}

    # --- ranges ------------------------------------------------------------------------------------------------

    def fitted(self, site: Site, bits: int) -> Fitted:
        """The quantizer of `site` at `bits`, found once and kept: its range is the one fixed by hand, or the
        estimator's.
        """
        key = (site.name, bits)
        if key not in self._fitted:
            rows, fixed, elements = self.rows(site), self._fixed_range(site), self.values(site).numel()
            self._fitted[key] = fit(rows, elements, self._spec(site, bits), self.estimator(site), fixed)
            if elements > LARGE:
                give_back()  # or the small tensors that stay keep the room of the large ones that the search has made
        return self._fitted[key]

    def _spec(self, site: Site, bits: int) -> Spec:
        """The recipe's quantizer at `bits`; a symmetric activation that is never negative takes the unsigned grid."""
        spec = replace(self.specs[site.kind], bits=bits)
        if site.kind == "activation" and spec.symmetric:
            return as_signed_as_needed(spec, self.rows(site), self.values(site).numel(), self._fixed_range(site))
        return spec

    def _fixed_range(self, site: Site) -> Range | None:
        """The range that was given to the site by hand."""
        return self._fixed.get(site.name, self.own.get(site.name, Own()).range)

    def rows(self, site: Site) -> Rows:
        """The values of `site`, sorted: its weights slice by slice, or its calibration sample."""
        name = site.name
        if name not in self._rows:
            values = self.values(site)
            if site.kind == "weight":
                spec = self.specs["weight"]
                self._rows[name] = Rows.of(spec.slices(values), what_of(site), padding=spec.padding(values.shape))
            else:
                whole = self.keeps_images(site)
                self._rows[name] = rows_of(site, values, self._ends.get(name), self.bands.get(name), whole=whole)
        return self._rows[name]

    def values(self, site: Site) -> Tensor:
        """The weight itself, or the calibration sample of an activation (one dimension), empty where none was taken."""
        if site.kind == "weight":
            return self.layers[site.layer].weight
        return self.samples[site.name] if site.name in self.samples else torch.empty(0)

    @contextmanager
    def fixing(self, ranges: Mapping[str, Range]) -> Iterator[Network]:
        """The network with the ranges of some sites set by hand (lo and hi: one value, or one a slice); always
        restores, learned roundings too.
        """
        before = dict(self._fixed)
        with self._refitting(ranges):
            try:
                self._fixed |= ranges
                yield self
            finally:
                self._fixed = before

    @contextmanager
    def owning(self, own: Mapping[str, Own]) -> Iterator[Network]:
        """The network with something else set for some sites alone; always restores, learned roundings too."""
        before = dict(self.own)
        with self._refitting(own):
            try:
                self.own |= own
                yield self
            finally:
                self.own = before

    @contextmanager
    def estimating(self, kind: str, method: str, options: dict[str, Any]) -> Iterator[Network]:
        """The network with another range estimator for all weights or all activations; always restores, learned
        roundings too.
        """
        before = self.estimators[kind]
        with self._refitting(site.name for site in self.sites if site.kind == kind):
            try:
                self.set_estimator(kind, method, options)
                yield self
            finally:
                self.estimators[kind] = before

    @contextmanager
    def _refitting(self, names: Iterable[str]) -> Iterator[None]:
        """Inside, the ranges and quantized weights of these sites are found anew; afterwards those from before hold."""
        sites = [self.site(name).name for name in names]
        before = [{key: kept for key, kept in each.items() if key[0] in sites} for each in self._by_fit]
        try:
            for name in sites:
                self._forget_fit(name)
            yield
        finally:
            for name in sites:
                self._forget_fit(name)
            for each, kept in zip(self._by_fit, before, strict=True):
                each.update(kept)

    def estimator(self, site: Site) -> Estimator:
        """The name and the options of the range estimator that serves the site."""
        return self.own.get(site.name, Own()).estimator or self.estimators[site.kind]

    def set_estimator(self, kind: str, method: str, options: dict[str, Any]) -> None:
        """The range estimator of all weights or all activations; learned roundings, which hang on ranges, are
        forgotten.
        """
        self.estimators[kind] = (method, options)
        for site in self.sites:
            if site.kind == kind:
                self._forget_fit(site.name)

    def set_own(self, name: str, own: Own) -> None:
        """What holds at the site `name` alone from now on; its bits take effect when its kind is quantized."""
        self.own[self.site(name).name] = own
        self._forget_fit(name)

    def set_dynamic(self, dynamic: bool) -> None:
        """Whether each image finds the ranges of activations for itself, at all sites but those with a range or an
        estimator of their own; what asks for a range or a noise still gets that of the samples.
        """
        self.dynamic = dynamic
        self._plan = None

    @contextmanager
    def static(self) -> Iterator[Network]:
        """The network with the ranges of the samples at every site; always restores."""
        before = self.dynamic
        try:
            self.set_dynamic(False)
            yield self
        finally:
            self.set_dynamic(before)

    def set_samples(
        self, samples: Mapping[str, Tensor], ends: Mapping[str, tuple[Tensor, Tensor]] | None = None
    ) -> None:
        """What calibration has seen of each activation site: values in one dimension, and where they are a sample the
        least and the greatest of all values, one element each. Of the logits every value, in the order of the images.
        """
        changed = self.samples.keys() | samples.keys()  # a site without a sample now has no values to go by
        self.samples, self._ends = dict(samples), dict(ends or {})
        for name in changed:
            self._forget(name)

    @contextmanager
    def seeing(self, samples: Mapping[str, Tensor], ends: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[Network]:
        """The network with other samples of its activations, of which their ranges are found anew; always restores."""
        before = self.samples, self._ends
        with self._refitting(site.name for site in self.sites if site.kind == "activation"):
            try:
                self.set_samples(samples, ends)
                yield self
            finally:
                self.set_samples(*before)

    def set_bands(self, bands: Mapping[str, Band]) -> None:
        """What batch norms tell of the values of activation sites."""
        changed = self.bands.keys() | bands.keys()
        self.bands = dict(bands)
        for name in changed:
            self._forget(name)

    # --- weights -----------------------------------------------------------------------------------------------

    def set_layer(self, name: str, weight: Tensor, bias: Tensor | None) -> None:
        """Gives a layer other weights, those that are pruned stay 0; what was found from the old ones is forgotten.
        Activation samples stay: whoever changes the size of activations calibrates anew.
        """
        layer = self.layers[name]
        layer.weight, layer.bias = masked(channels_last(weight), self.masks.get(name)), bias
        self._forget(f"{name}.weight")
        if sum(origin_of(other) is origin_of(layer) for other in self.layers.values()) > 1:
            self.placement = place(self.graph, self.layers)  # shared no longer, perhaps, or again

    def set_masks(self, masks: Mapping[str, Tensor]) -> None:
        """Prunes the named layers: weights where a mask is False are 0 from now on, whatever steps do to the others.

        masks: bool, True = kept, of the weights' shapes; a new mask takes the place of the layer's old one. Layers that
        share a weight need the same mask to go on sharing it.
        """
        for name in masks:
            if name not in self.layers:
                raise UnknownName("layer", name, list(self.layers))
        self.masks |= {name: checked_mask(self.layers[name], mask) for name, mask in masks.items()}
        for name in masks:
            layer = self.layers[name]
            layer.weight = masked(layer.weight, self.masks[name])
            self._forget(f"{name}.weight")
        self.placement = place(self.graph, self.layers)

    def set_bias(self, name: str, bias: Tensor) -> None:
        """Gives a layer another bias; its quantized weights stay, and what was corrected for them."""
        self.layers[name].bias = bias
        self._plan = None

    def bias(self, name: str) -> Tensor | None:
        """The bias of a layer as the network has it at its present bits: with the correction of its quantized weight,
        where there is one. The real network has `layers[name].bias` alone.
        """
        return self.layers[name].shifted(self._shift(name))

    def correction(self, site: Site, bits: int) -> Tensor | None:
        """What is added to the bias of the layer of `site` while its weight has `bits` [channels]; None: nothing."""
        return self._corrections.get((site.name, bits))

    def set_correction(self, site: Site, bits: int, shift: Tensor) -> None:
        """Adds `shift` [channels] to the bias of a layer, in place of an earlier one, while its weight has `bits`.

        It makes good the error of these quantized weights, so that it is forgotten with them; the real weights, and
        those at other bits, go with the layer's own bias.
        """
        self._corrections[site.name, bits] = shift
        self._plan = None

    def forget_corrections(self) -> None:
        """The biases of all layers are their own again, at any bits."""
        self._corrections.clear()
        self._plan = None

    def settle_corrections(self) -> None:
        """Makes the corrections at the present bits part of the layers' own biases, and forgets the others: for a
        training, which starts from the quantized network and leaves no other.
        """
        for name, shift in self._shifts().items():
            self.layers[name].bias = self.layers[name].shifted(shift)
        self.forget_corrections()

    def _shift(self, layer: str) -> Tensor | None:
        """The correction of a layer's bias at the present bits of its weight."""
        name = f"{layer}.weight"
        return self._corrections.get((name, self._bits[name])) if name in self._bits else None

    def _shifts(self) -> dict[str, Tensor]:
        """Layer → correction at the present bits, of those that have one."""
        return {name: shift for name in self.layers if (shift := self._shift(name)) is not None}

    def set_graph(self, graph: Graph) -> None:
        """After a change of the operations: places the sites anew."""
        self.graph = graph
        self.placement = place(graph, self.layers)
        self._plan = None

    def quantized_weight(self, site: Site, bits: int) -> Tensor:
        """The dequantized weight at `bits`: what `set_quantized` gave, else rounded to nearest (codes are kept)."""
        learned = self._learned.get((site.name, bits))
        return self._from_codes(site, bits)() if learned is None else learned

    def learned_weight(self, name: str) -> Tensor | None:
        """What `set_quantized` gave to the weight site `name` at its present bits; None where it is rounded to
        nearest, or real.
        """
        return self._learned.get((name, self._bits.get(name, 0)))

    def _from_codes(self, site: Site, bits: int) -> Callable[[], Tensor]:
        """What makes the weight rounded to nearest, as often as it is asked, from its codes, which it holds."""
        key, weight = (site.name, bits), self.layers[site.layer].weight
        spec, _, grid, _ = self.fitted(site, bits)
        if key not in self._codes:
            self._codes[key] = grid.stored(spec.slices(weight))
        codes, shape = self._codes[key], weight.shape
        return lambda: channels_last(spec.unslice(grid.values(codes.float()), shape))

    def noise(self, site: Site, bits: int) -> float:
        """Mean squared error of the site's values at `bits`, with learned rounding where there is one."""
        learned = self._learned.get((site.name, bits))
        if learned is None:
            return self.fitted(site, bits).noise
        return float((learned - self.layers[site.layer].weight).double().square_().mean())

    def set_quantized(self, site: Site, bits: int, weight: Tensor) -> None:
        """Gives a weight at `bits` grid values other than the nearest ones; kept until the weight changes. What is
        pruned stays 0. A correction of the bias was for the values before and is forgotten.
        """
        self._corrections.pop((site.name, bits), None)
        self._learned[site.name, bits] = masked(channels_last(weight), self.masks.get(site.layer))
        self._plan = None

    def forget_weights(self, *, ranges: bool) -> None:
        """Drops the quantized weights that are kept, and their ranges too where `ranges`: they are found anew when
        needed.
        """
        self._codes.clear()
        self._plan = None
        if ranges:
            weights = {site.name for site in self.sites if site.kind == "weight"}
            self._fitted = {key: kept for key, kept in self._fitted.items() if key[0] not in weights}

    # --- running -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """The network at its present bits, made ready; kept until something changes."""
        if self._plan is None:
            # Tensors made in inference mode could not take part in a calculation with gradients later.
            with torch.inference_mode(False), torch.no_grad():
                self._plan = self._planned()
        return self._plan

    def _planned(self) -> Plan:
        grids, dynamic = {}, {}
        for site in self.sites:
            bits = self._bits.get(site.name)
            if site.kind == "weight":
                continue
            if bits is not None and self._is_dynamic(site):
                dynamic[site.name] = self._spec(site, bits)
            elif bits is not None:
                grids[site.name] = self.fitted(site, bits).grid
        return compile_plan(self.graph, self.layers, self.placement, self._present, grids, dynamic, self._shifts())

    def _present(self, layer: str) -> Weight:
        """The weight of a layer at its present bits; what makes it from codes, where it is large."""
        name, weight = f"{layer}.weight", self.layers[layer].weight
        bits = self._bits.get(name)
        if bits is None:
            return weight
        site = self.site(name)
        anew = weight.numel() > LARGE and (site.name, bits) not in self._learned
        return self._from_codes(site, bits) if anew else self.quantized_weight(site, bits)

    def _is_dynamic(self, site: Site) -> bool:
        by_hand = self._fixed_range(site) is not None or self.own.get(site.name, Own()).estimator is not None
        return self.dynamic and not by_hand

    def real_plan(
        self, weights: Mapping[str, Tensor] | None = None, shifts: Mapping[str, Tensor] | None = None
    ) -> Plan:
        """The network in float32 whatever its bits, with other weights by layer, and with `shifts` added to the biases
        of layers, where given.
        """
        own = {**{name: layer.weight for name, layer in self.layers.items()}, **(weights or {})}
        return compile_plan(self.graph, self.layers, self.placement, own.__getitem__, {}, shifts=shifts)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [images, classes] of the batch `x` at the present bits."""
        with torch.inference_mode():
            return self.plan()(x)

    @property
    def _by_fit(self) -> tuple[dict[tuple[str, int], Any], ...]:
        """What hangs on the ranges of sites."""
        return self._fitted, self._codes, self._learned, self._corrections

    def _forget(self, name: str) -> None:
        """The values of a site have changed."""
        if name in self._rows:
            del self._rows[name]
        self._forget_fit(name)

    def _forget_fit(self, name: str) -> None:
        """The range of a site has changed."""
        for kept in self._by_fit:
            for key in [key for key in kept if key[0] == name]:
                del kept[key]
        self._plan = None
