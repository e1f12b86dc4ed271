"""Carrying a graph out: on real numbers, or on the integer grid.

On the grid a tensor is stored in units of its site's scale, as codes minus the zero point, so that real 0 is 0 and zero
padding holds. The scale of the result is folded into the weights and the bias of the layer before it and the scale of
its input into the same weights, which leaves `round_().clamp_()` of a site, and that clamp is the ReLU (project's own
choice).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qexplore.network.clamps import clamp, code_bounds
from qexplore.network.dynamic import each_image
from qexplore.network.fused import Forward, clamped_convolution, clamps_inside
from qexplore.network.graph import LAYERS, Bound, Graph, Layer, Op, channels_last, flat
from qexplore.network.placement import Placement
from qexplore.numerics import Grid, Spec

Values = dict[str, Any]
BLOCK = 1 << 19  # elements: two megabytes
Action = Callable[[Values], None]
Watcher = Callable[[str, Any], Any]
Weight = Tensor | Callable[[], Tensor]  # real values, or what makes them anew for each batch


@dataclass(frozen=True)
class Step:
    """One instruction: `act` reads and writes `values` under operation names; `frees` names what nobody reads later.

    over: the same written over an operand, where no later step reads that; for whoever holds the values alone.
    """

    name: str
    act: Action
    frees: tuple[str, ...] = ()
    over: Action | None = None


@dataclass(frozen=True)
class Plan:
    """A graph made ready for one choice of weights and grids."""

    steps: tuple[Step, ...]
    input: str
    output: str
    unit: float

    def __call__(self, x: Tensor) -> Tensor:
        """Logits of the batch `x`."""
        return self.watch(x, lambda name, value: None, keeps=False)

    def watch(self, x: Tensor, watcher: Watcher, *, keeps: bool = True) -> Tensor:
        """As a call, with every result handed to `watcher(operation, value)`, which may keep it.

        Where it does not (`keeps` False) a result may be written over by the step that reads it last.
        """
        values, alone = self.begin(x), not keeps and not torch.is_grad_enabled()
        for step in self.steps:
            act = step.over if alone and step.over is not None else step.act
            act(values)
            watcher(step.name, values[step.name])
            free(step, values)
        return self.end(values)

    def begin(self, x: Tensor) -> Values:
        """The live values before the first step."""
        return {self.input: _float32(channels_last(x))}

    def end(self, values: Values) -> Tensor:
        """Logits from the live values after the last step."""
        return self._real(values[self.output])

    def resume(self, values: Values, steps: Sequence[Step]) -> Tensor:
        """Logits from the known results `values`, which stay as they are: carries out `steps` alone."""
        mine = dict(values)
        for step in steps:
            carry_out(step, mine)
        return self.end(mine)

    def _real(self, logits: Tensor) -> Tensor:
        return logits if self.unit == 1.0 else logits * self.unit


def carry_out(step: Step, values: Values) -> None:
    """The live values after `step`, in place of those before it."""
    step.act(values)
    free(step, values)


def free(step: Step, values: Values) -> None:
    """Lets go of what `step` was the last to read."""
    for name in step.frees:
        values.pop(name, None)


def _float32(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() else x


def compile_plan(
    graph: Graph,
    layers: Mapping[str, Layer],
    placement: Placement,
    weights: Callable[[str], Weight],
    grids: Mapping[str, Grid],
    dynamic: Mapping[str, Spec] | None = None,
    shifts: Mapping[str, Tensor] | None = None,
) -> Plan:
    """The plan of `graph` with `weights` (layer → real values, asked for one by one, so that what is made for the plan
    need not be there all at once) and the `grids` of the activation sites that are quantized.

    shifts: what is added to the biases of layers, in real units, [channels] each.
    dynamic: the quantizers of the sites whose range each image finds for itself. They store real numbers, and what
    reuses their grid but leaves it, an average or another clamp, is quantized again over its own range.
    """
    return _Compiler(graph, layers, placement, weights, grids, dynamic or {}, shifts or {}).plan()


def _blocks(x: Tensor) -> Sequence[Tensor]:
    """`x` in pieces that stay in a CPU's cache from one in-place operation to the next."""
    if x.numel() <= 2 * BLOCK or x.device.type != "cpu":
        return (x,)
    dense = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return torch.split(flat(x), BLOCK) if dense else (x,)


def _weight(given: Weight, factor: float) -> Callable[[], Tensor]:
    """What gives a layer its weight times `factor`: the one tensor, or one for each batch."""
    if isinstance(given, Tensor):
        weight = given if factor == 1.0 else given * factor
        return lambda: weight
    return given if factor == 1.0 else lambda: given() * factor


def _times(value: Any, factor: float) -> Any:
    """A tensor, or several, times `factor`; other values as they are."""
    if isinstance(value, tuple | list):
        return type(value)(_times(part, factor) for part in value)
    return value * factor if isinstance(value, Tensor) else value


class _Compiler:
    """Turns operations into steps; `units` holds the real value of one stored unit of each result."""

    def __init__(
        self,
        graph: Graph,
        layers: Mapping[str, Layer],
        placement: Placement,
        weights: Callable[[str], Weight],
        grids: Mapping[str, Grid],
        dynamic: Mapping[str, Spec],
        shifts: Mapping[str, Tensor],
    ) -> None:
        self.graph, self.layers, self.placement, self.weights = graph, layers, placement, weights
        self.entry = next(op for op in graph.ops if op.kind == "input")
        self.sites = {at: site.name for at, site in placement.at.items()}
        self.grids, self.dynamic, self.shifts = grids, dynamic, shifts
        self.units: dict[str, float] = {}
        self.clamped: set[str] = set()  # operations whose clamp the layer before them does
        self.over: dict[str, Action] = {}

    def plan(self) -> Plan:
        entry = self.entry
        grid = self._grid_at(entry.name)
        self.units[entry.name] = 1.0 if grid is None else float(grid.scale)
        acts = [(entry.name, self._entry(entry.name, grid))]
        acts += [(op.name, self._action(op)) for op in self.graph.ops if op is not entry]
        acts = [(name, self._each_image(name, act)) for name, act in acts]
        over = {name: self._each_image(name, act) for name, act in self.over.items()}
        last = {source: op.name for op in self.graph.ops for source in op.inputs}
        frees: dict[str, list[str]] = {}
        kept = {self.graph.output, entry.name if self.dynamic else ""}  # the input tells the number of images
        for source, reader in last.items():
            if source not in kept:
                frees.setdefault(reader, []).append(source)
        steps = tuple(Step(name, act, tuple(frees.get(name, ())), over.get(name)) for name, act in acts)
        return Plan(steps, entry.name, self.graph.output, self.units[self.graph.output])

    def _entry(self, name: str, grid: Grid | None) -> Action:
        if grid is None:
            return lambda values: None
        inverse, finish = 1 / float(grid.scale), self._finish(grid, None, None)

        def enter(values: Values) -> None:
            values[name] = finish(values[name] * inverse)

        return enter

    def _action(self, op: Op) -> Action:
        if op.kind in LAYERS:
            return self._layer(op)
        if op.kind == "clamp":
            return self._clamp(op)
        if op.kind == "add":
            return self._add(op)
        if op.kind in ("max-pool", "reshape", "value", "avg-pool"):
            return self._on_grid(op)
        return self._real(op)

    def _each_image(self, name: str, act: Action) -> Action:
        """`act`, and after it the quantizer of the dynamic site on whose grid its result does not lie yet."""
        op = self.graph.by_name[name]
        again = op.kind in ("avg-pool", "clamp")
        spec = self.dynamic.get(self.placement.grid[name] if again else self.sites.get(name, ""))
        if spec is None:
            return act
        entry = self.entry.name
        quantize = each_image(spec, op.axis, op.order)

        def act_and_quantize(values: Values) -> None:
            act(values)
            values[name] = quantize(values[name], len(values[entry]))

        return act_and_quantize

    def _grid_at(self, name: str) -> Grid | None:
        """The active grid of the site that acts on the result of operation `name`."""
        return self.grids.get(self.sites.get(name, ""))

    def _target(self, op: Op) -> float:
        """The unit in which the first operation of a fused chain leaves its result."""
        chain = self.graph.chain(op.name)
        grid = self._grid_at(chain[-1].name)
        return 1.0 if grid is None or any(link.kind == "batchnorm" for link in chain[1:]) else float(grid.scale)

    def _finish(self, grid: Grid, lower: Bound, upper: Bound, factor: float = 1.0) -> Callable[[Tensor], Tensor]:
        """In place: times `factor`, which leads to units of `grid`, rounded, and clamped to the grid and the
        non-linearity's bounds.
        """
        low, high = code_bounds(grid, lower, upper)
        if isinstance(high, Tensor):
            return lambda x: clamp((x if factor == 1.0 else x.mul_(factor)).round_(), low, high, inplace=True)

        def finish(x: Tensor) -> Tensor:
            for block in _blocks(x):
                if factor != 1.0:
                    block.mul_(factor)
                block.round_().clamp_(low, high)
            return x

        return finish

    def _layer(self, op: Op) -> Action:
        layer, (source,) = self.layers[op.name], op.inputs
        unit = self.units[op.name] = self._target(op)
        weight = _weight(self.weights(op.name), self.units[source] / unit)
        real = layer.shifted(self.shifts.get(op.name))
        bias = real if real is None or unit == 1.0 else real / unit
        grid = self._grid_at(op.name)
        fused = self._fused(op, layer)
        forward = layer.forward if fused is None else fused
        finish = torch.round_ if fused is not None else None if grid is None else self._finish(grid, None, None)
        name = op.name

        if finish is None:

            def act(values: Values) -> None:
                values[name] = forward(values[source], weight(), bias)

        else:

            def act(values: Values) -> None:
                values[name] = finish(forward(values[source], weight(), bias))

        return act

    def _fused(self, op: Op, layer: Layer) -> Forward | None:
        """The layer's forward with the clamp of its site inside, where that pays; its result is still to be rounded.

        Clamping between codes and rounding give the same in either order.
        """
        if not clamps_inside(layer, math.prod(op.shape[1:])):
            return None
        chain = self.graph.chain(op.name)
        grid = self._grid_at(chain[-1].name)
        if grid is None or any(link.kind == "batchnorm" for link in chain):
            return None
        low, high = code_bounds(grid, chain[-1].lower, chain[-1].upper)
        if isinstance(high, Tensor):
            return None
        self.clamped.add(chain[-1].name)
        return clamped_convolution(layer, low, high)

    def _clamp(self, op: Op) -> Action:
        (source,), name = op.inputs, op.name
        unit, grid = self.units[source], self._grid_at(op.name)
        inplace = name in self.sites and self.graph.by_name[source].kind != "function"
        if grid is None:
            shared = self.placement.grid[name] in self.grids
            lower, upper = (self._code(b, unit) if shared else b for b in (op.lower, op.upper))
            self.units[name] = unit

            def act(values: Values) -> None:
                values[name] = clamp(values[source], lower, upper, inplace=inplace)

            return act
        self.units[name] = float(grid.scale)
        if name in self.clamped:
            return lambda values: values.__setitem__(name, values[source])
        finish = self._finish(grid, op.lower, op.upper, unit / float(grid.scale))

        def round_and_clamp(values: Values) -> None:
            values[name] = finish(values[source] if inplace else values[source].clone())

        return round_and_clamp

    @staticmethod
    def _code(bound: Bound, unit: float) -> Bound:
        """A bound as one of the codes of a grid with this unit."""
        if bound is None:
            return None
        return (bound / unit).round() if isinstance(bound, Tensor) else float(round(bound / unit))

    def _add(self, op: Op) -> Action:
        (first, second), name = op.inputs, op.name
        unit = self.units[name] = self._target(op)
        alpha, factor = self.units[second] / self.units[first], self.units[first] / unit
        grid = self._grid_at(name)
        finish = None if grid is None else self._finish(grid, None, None, factor)

        def ended(total: Tensor) -> Tensor:
            if finish is not None:
                return finish(total)
            return total if factor == 1.0 else total.mul_(factor)

        def act(values: Values) -> None:
            values[name] = ended(torch.add(values[first], values[second], alpha=alpha))

        def over(values: Values) -> None:
            values[name] = ended(values[first].add_(values[second], alpha=alpha))

        term = self.graph.by_name[first]
        if term.kind in LAYERS and term.shape == op.shape and self.graph.only_reader(first) is op:
            self.over[name] = over  # nothing else sees the memory of what a layer has just made
        return act

    def _on_grid(self, op: Op) -> Action:
        """Operations that work on codes as on real numbers; an average is rounded to the grid of its input."""
        assert op.call is not None
        call, sources, name = op.call, op.inputs, op.name
        # The first operand is the tensor itself; others give a shape or places.
        self.units[name] = 1.0 if op.kind == "value" else self.units[sources[0]]
        average = op.kind == "avg-pool" and self.placement.grid[name] in self.grids

        def act(values: Values) -> None:
            result = call(*[values[s] for s in sources])
            values[name] = result.round_() if average else result

        return act

    def _real(self, op: Op) -> Action:
        """Any other operation: its inputs as real numbers, its result in units of its site, where it has one."""
        assert op.call is not None
        call, name, grid = op.call, op.name, self._grid_at(op.name)
        units = [(source, self.units[source]) for source in op.inputs]
        unit = self.units[name] = self._target(op)
        finish = None if grid is None else self._finish(grid, None, None)

        def act(values: Values) -> None:
            inputs = [values[source] if u == 1.0 else _times(values[source], u) for source, u in units]
            result = call(*inputs)
            if unit != 1.0:
                result = result * (1 / unit)
            values[name] = result if finish is None else finish(result if unit != 1.0 else result.clone())

        return act
