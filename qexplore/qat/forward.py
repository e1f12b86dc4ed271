"""One differentiable pass through a network in training, its activations in units of their scales.

As in evaluation (qexplore.network.execute) a tensor is stored as codes less the zero point; the scale of a layer's
result is divided out of its weights and its bias, and that of its input multiplied into them. Here the scales are
learned, and their gradients come with those of the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qexplore.network.clamps import clamp
from qexplore.network.graph import LAYERS, Op, channels_last
from qexplore.numerics.learned import add_scaled, round_straight
from qexplore.qat.norms import DOUBLE, KEEP, Norm, folded_twice
from qexplore.qat.quantizers import Quantizer

if TYPE_CHECKING:
    from qexplore.qat.trainable import Trainable

Unit = Tensor | None
"""The real value of one stored unit, one element; None for 1."""


class Forward:
    """The state of one pass: values by operation, and their units.

    observed: takes the real values of every quantized activation before they are rounded, where it is given.
    """

    def __init__(self, trainable: Trainable, observed: dict[str, Tensor] | None) -> None:
        self.trainable, self.observed = trainable, observed
        self.graph, self.placement = trainable.network.graph, trainable.network.placement
        self.at = self.placement.at
        self.scales = {name: q.scale for name, q in trainable.quantizers.items() if q.site.kind == "activation"}
        self.values: dict[str, Any] = {}
        self.units: dict[str, Unit] = {}
        self.norms = {norm.layer: norm for norm in trainable.norms.values()}

    def __call__(self, x: Tensor) -> Tensor:
        """Real logits of the batch `x`."""
        for op in self.graph.ops:
            self.values[op.name] = self._result(op, x)
            for name in self.trainable.frees.get(op.name, ()):
                del self.values[name]
        logits: Tensor = self._real(self.graph.output)
        return logits

    def _result(self, op: Op, x: Tensor) -> Any:
        if op.kind == "input":
            return self._enter(op, channels_last(x))
        if op.kind in LAYERS:
            return self._round(op, self._layer(op))
        if op.name in self.trainable.norms:
            return self._round(op, self._norm(op, self.trainable.norms[op.name]))
        if op.kind == "clamp":
            return self._clamp(op)
        if op.kind == "add":
            return self._round(op, self._add(op))
        if op.kind in ("max-pool", "avg-pool", "reshape", "value"):
            return self._on_grid(op)
        assert op.call is not None
        return self._enter(op, op.call(*[self._real(name) for name in op.inputs]))

    # --- operations --------------------------------------------------------------------------------------------

    def _layer(self, op: Op) -> Tensor:
        """The layer's result in units of its site, or real where a batch norm follows."""
        trainable, layer, (source,) = self.trainable, self.trainable.network.layers[op.name], op.inputs
        norm = self.norms.get(op.name)
        bias = trainable.biases.get(op.name, layer.bias)
        if norm is not None and trainable.mode == DOUBLE:
            return self._folded(op, norm)
        unit = self.units[op.name] = None if norm is not None else self._target(op)
        weight, before = trainable.quantized(op.name), self.units[source]
        if before is not None or unit is not None:
            weight = weight * _ratio(before, unit)
        if bias is not None and unit is not None:
            bias = bias / unit
        return layer.forward(self.values[source], weight, bias)

    def _folded(self, op: Op, norm: Norm) -> Tensor:
        trainable, (source,) = self.trainable, op.inputs
        quantizer = trainable.quantizers.get(f"{op.name}.weight")

        def quantize(folded: Tensor) -> Tensor:
            return folded if quantizer is None else trainable.mix(folded, quantizer.weight(folded))

        layer, weight = trainable.network.layers[op.name], trainable.weight(op.name)
        y = folded_twice(layer, norm, self._real(source), weight, quantize, train=trainable.training)
        self.units[op.name] = None
        return y

    def _norm(self, op: Op, norm: Norm) -> Tensor:
        (source,) = op.inputs
        y: Tensor = self.values[source]
        unit = self.units[op.name] = self._target(op)
        if self.trainable.mode == DOUBLE:  # its layer has done it already
            return y if unit is None else y / unit
        return norm.normalize(y, unit, train=self.trainable.training and self.trainable.mode == KEEP)

    def _clamp(self, op: Op) -> Tensor:
        """The clamp of a chain, with its rounding; or one that bounds what lies on the grid of its input."""
        (source,) = op.inputs
        x, unit = self.values[source], self.units[source]
        quantizer = self._quantizer(op)
        self.units[op.name] = unit
        if quantizer is None:
            return self._bounded(x, op, unit)
        if isinstance(op.upper, Tensor):  # one bound a channel
            x = clamp(x, None, op.upper if unit is None else op.upper / unit)
            return self._rounded(quantizer, x, unit, op.lower, None)
        return self._rounded(quantizer, x, unit, op.lower, op.upper)

    @staticmethod
    def _bounded(x: Tensor, op: Op, unit: Unit) -> Tensor:
        """The clamp of real numbers, or of codes on the grid of their site, onto which bounds are rounded."""
        bounds = [op.lower, op.upper]
        if unit is None or all(bound is None or (isinstance(bound, float) and bound == 0) for bound in bounds):
            return clamp(x, *bounds)
        return round_straight(clamp(x, *[None if bound is None else bound / unit for bound in bounds]))

    def _add(self, op: Op) -> Tensor:
        first, second = op.inputs
        unit, units = self._target(op), [self.units[name] for name in op.inputs]
        self.units[op.name] = unit
        a: Tensor = self.values[first]
        b: Tensor = self.values[second]
        if unit is None and units == [None, None]:
            return a + b
        return add_scaled(a, b, *[_ratio(each, unit) for each in units])

    def _on_grid(self, op: Op) -> Any:
        """Operations that work on codes as on real numbers; an average is rounded to the grid of its input."""
        assert op.call is not None
        # The first operand is the tensor itself; others give a shape or places.
        unit = self.units[op.name] = None if op.kind == "value" else self.units[op.inputs[0]]
        result = op.call(*[self.values[name] for name in op.inputs])
        return round_straight(result) if op.kind == "avg-pool" and unit is not None else result

    # --- rounding ----------------------------------------------------------------------------------------------

    def _enter(self, op: Op, real: Any) -> Any:
        """Real numbers on the grid of the operation's site, where they are the end of their chain."""
        unit = self.units[op.name] = self._target(op) if isinstance(real, Tensor) else None
        return real if unit is None else self._round(op, real / unit)

    def _round(self, op: Op, value: Tensor) -> Tensor:
        """A result in its unit, rounded where its site acts here and not behind a clamp."""
        quantizer = self._quantizer(op)
        return value if quantizer is None else self._rounded(quantizer, value, self.units[op.name], None, None)

    def _rounded(
        self, quantizer: Quantizer, value: Tensor, unit: Unit, lower: float | None, upper: float | None
    ) -> Tensor:
        assert unit is not None
        if self.observed is not None:
            self.observed[quantizer.site.name] = clamp(value * unit, lower, upper)
        return quantizer.round(value, unit, lower, upper)

    def _quantizer(self, op: Op) -> Quantizer | None:
        """That of the site that acts on the result of the operation."""
        site = self.at.get(op.name)
        return self.trainable.quantizers.get(site.name) if site else None

    def _target(self, op: Op) -> Unit:
        """The unit in which an operation leaves its result: that of the site at the end of its chain."""
        end = op if op.kind == "batchnorm" else self.graph.chain(op.name)[-1]
        if op.kind == "batchnorm":
            after = self.graph.only_reader(op.name)
            end = after if after is not None and after.kind == "clamp" else op
        site = self.at.get(end.name)
        return self.scales.get(site.name) if site else None

    def _real(self, name: str) -> Any:
        value, unit = self.values[name], self.units.get(name)
        if unit is None:
            return value
        if isinstance(value, tuple | list):
            return type(value)(part * unit for part in value)
        return value * unit


def _ratio(before: Unit, after: Unit) -> Tensor:
    """before / after."""
    if after is None:
        return torch.ones(1) if before is None else before
    return 1 / after if before is None else before / after
