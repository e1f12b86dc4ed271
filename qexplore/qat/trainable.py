"""A network whose weights, biases, batch norms and quantizers can be trained: parameters, and a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from qexplore.network import Network
from qexplore.numerics import Range
from qexplore.qat.forward import Forward
from qexplore.qat.norms import DOUBLE, LEAST_GAIN, Norm, norms_of
from qexplore.qat.quantizers import Quantizer

Mixed = Callable[[Tensor, Tensor], Tensor]
"""(weight, quantized weight) -> what takes part in the forward pass."""


class Trainable:
    """The graph of a network with quantizers at its sites, differentiable.

    weights, biases: parameters by layer; layers that share a weight share the parameter. norms: by operation. What
    other operations hold (layer norms, opaque modules) is not trained and stays as it is.
    quantizers: of the sites that are quantized; a site without one is real.
    masks: weights that stay 0, by layer: True where a weight is kept. frozen: weights that stay on one code, by layer:
    True where a weight does, and the codes.
    """

    def __init__(self, network: Network, quantizers: Mapping[str, Quantizer], mode: str) -> None:
        self.network, self.quantizers, self.mode = network, dict(quantizers), mode
        self.norms = norms_of(network)
        self._behind = {norm.layer: norm for norm in self.norms.values()}
        self.weights = self._starts()
        self.biases = {
            name: nn.Parameter(layer.bias.clone())
            for name, layer in network.layers.items()
            if layer.bias is not None and name not in self._behind  # a batch norm has a shift of its own
        }
        self.masks = {name: mask.clone() for name, mask in network.masks.items()}
        self.frozen: dict[str, tuple[Tensor, Tensor]] = {}
        self.mixed: Mixed | None = None
        self.training = True
        self.frees = _frees(network)

    def _starts(self) -> dict[str, nn.Parameter]:
        """A parameter for every layer's weight; layers with one and the same weight have one.

        It starts as the network's own, or where the network has learned to round it otherwise than to nearest
        (AdaRound) so that it is rounded as learned; but not on a grid of another weight, with a batch norm folded in.
        """
        owners: dict[str, nn.Parameter] = {}
        found: dict[str, nn.Parameter] = {}
        for site in self.network.sites:
            if site.kind != "weight":
                continue
            if site.tied not in owners:
                weight, learned = self.network.layers[site.layer].weight, self.network.learned_weight(site.name)
                if learned is not None and site.name in self.quantizers and self._folded(site.layer) is None:
                    weight = self.quantizers[site.name].latent(weight, learned)
                owners[site.tied] = nn.Parameter(weight.clone())
            found[site.layer] = owners[site.tied]
        return found

    def weight(self, layer: str) -> Tensor:
        """The latent weight of a layer, zeros where it is pruned."""
        weight = self.weights[layer]
        return weight * self.masks[layer] if layer in self.masks else weight

    def _folded(self, layer: str) -> Norm | None:
        """The batch norm that is folded into a layer in the forward pass."""
        return self._behind.get(layer) if self.mode == DOUBLE else None

    def factor(self, layer: str) -> Tensor | float:
        """What the latent weight is multiplied with before it is quantized, one value an output channel."""
        norm = self._folded(layer)
        if norm is None:
            return 1.0
        return (norm.gain / norm.deviation()).detach().view(-1, *[1] * (self.weights[layer].dim() - 1))

    def facing(self, layer: str) -> Tensor:
        """The weight as its quantizer sees it, without a gradient."""
        weight, factor = self.weight(layer).detach(), self.factor(layer)
        return weight * factor if isinstance(factor, Tensor) else weight

    @torch.no_grad()
    def range(self, name: str) -> Range:
        """The interval that the grid of a site spans now, empty for a slice of a weight that holds nothing but zeros:
        such a slice had no size to go by, and its grid has the scale 1.
        """
        quantizer = self.quantizers[name]
        ends = quantizer.range()
        if quantizer.site.kind != "weight":
            return ends
        some = quantizer.spec.slices(self.weight(quantizer.site.layer)).any(dim=1)
        return Range(ends.lo * some, ends.hi * some)

    def quantized(self, layer: str) -> Tensor:
        """The weight that takes part in the forward pass."""
        weight, quantizer = self.weight(layer), self.quantizers.get(f"{layer}.weight")
        return weight if quantizer is None else self.mix(weight, quantizer.weight(weight))

    def mix(self, weight: Tensor, quantized: Tensor) -> Tensor:
        return quantized if self.mixed is None or not self.training else self.mixed(weight, quantized)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits of the batch `x`."""
        return Forward(self, None)(x)

    def observe(self, x: Tensor) -> dict[str, Tensor]:
        """The real values of every quantized activation of the batch `x`, by site, after their non-linearity."""
        found: dict[str, Tensor] = {}
        Forward(self, found)(x)
        return found

    # --- what is trained ---------------------------------------------------------------------------------------

    def latent(self) -> dict[str, nn.Parameter]:
        """Weights, biases, gains and shifts by a name that is the same in every run."""
        found = {f"weight.{name}": p for name, p in self.weights.items() if self._owner(name) == name}
        found |= {f"bias.{name}": p for name, p in self.biases.items()}
        for norm in self.norms.values():
            found |= {f"gain.{norm.name}": norm.gain, f"shift.{norm.name}": norm.shift}
        return found

    def learned(self) -> dict[str, nn.Parameter]:
        """What quantizers learn, by name."""
        found: dict[str, nn.Parameter] = {}
        for name, quantizer in self.quantizers.items():
            for part, parameter in (("size", quantizer.size), ("offset", quantizer.offset)):
                shared = any(parameter is other for other in found.values())
                if parameter is not None and parameter.requires_grad and not shared:
                    found[f"{part}.{name}"] = parameter
        return found

    def buffers(self) -> dict[str, Tensor]:
        """Running statistics of batch norms."""
        found: dict[str, Tensor] = {}
        for norm in self.norms.values():
            found |= {f"mean.{norm.name}": norm.mean, f"variance.{norm.name}": norm.variance}
        return found

    def _owner(self, layer: str) -> str:
        return next(name for name, p in self.weights.items() if p is self.weights[layer])

    @torch.no_grad()
    def hold(self) -> None:
        """After a step of the optimizer: what must not leave its bounds is put back."""
        for quantizer in self.quantizers.values():
            quantizer.hold()
        for norm in self.norms.values():
            norm.gain.clamp_(min=LEAST_GAIN)
        for layer, mask in self.masks.items():
            self.weights[layer].mul_(mask)

    @torch.no_grad()
    def hold_frozen(self) -> None:
        """After any change of weights, scales or statistics: what is frozen is put back on its code."""
        for layer, (frozen, codes) in self.frozen.items():
            weight = self.weights[layer]
            held = codes * self.quantizers[f"{layer}.weight"].steps_of(weight) / self.factor(layer)
            weight.copy_(torch.where(frozen, held, weight))


def _frees(network: Network) -> dict[str, list[str]]:
    """Operation → results that nobody reads after it."""
    last = {source: op.name for op in network.graph.ops for source in op.inputs}
    frees: dict[str, list[str]] = {}
    for source, reader in last.items():
        if source != network.graph.output:
            frees.setdefault(reader, []).append(source)
    return frees
