"""The Fisher information of every site, from gradients that come by in training (project's own choice)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.shared import Shares, shares_of
from qexplore.numerics import Range
from qexplore.numerics.learned import dot
from qexplore.ptq.steps import State
from qexplore.qat.quantizers import Quantizer
from qexplore.qat.training import Training

MODELLED, MEASURED = "model", "measured"
ERRORS = (MODELLED, MEASURED)
SAMPLE = 1 << 14  # values of an activation on which the noise is measured
AT_ONCE = 1 << 20  # values that are rounded to grids of several widths together


@dataclass(frozen=True)
class Batch:
    """The gradient g of the mean loss of a batch to one weight, in its shape, and how it was found.

    images: of the batch. quantized: share q of the weights whose gradients were seen (QuantNoise), the others' being 0.
    """

    gradient: Tensor
    images: int
    quantized: float

    @property
    def square(self) -> float:
        """‖g‖² over all weights: its expectation is σ² / images + G, with σ² = tr Cov and G = ‖mean‖² of the gradients
        of single images.
        """
        return float(dot(self.gradient, self.gradient)) / self.quantized

    def trace(self, before: Batch | None) -> float:
        """σ² + G, the trace of the empirical Fisher information, without bias as long as the network hardly moved since
        the batch `before`: half the square of what lies between both is the noise of one. Without one the batch has no
        scatter, and its square is taken for the noise of its images alone.

        Of gradients that were seen in part, that half square has ‖g‖² (1 / q - 1) too much.
        """
        if self.images == 1 or before is None:
            return self.square * self.images
        apart = self.gradient / self.quantized - before.gradient / before.quantized
        unseen = (1 / self.quantized + 1 / before.quantized) / 2 - 1
        noise = float(dot(apart, apart)) / 2 - self.square * unseen
        return self.square + noise * (1 - 1 / self.images) / ((1 / self.images + 1 / before.images) / 2)


class Fisher:
    """Moving means of Σ g² over the elements of each site, an image: the trace of the empirical Fisher information.

    g is the gradient of the mean loss of a batch to the site's quantized values, as the backward pass comes by; it is
    the latent weight's too, by the straight-through estimator. That of an activation belongs to its own image: B times
    its square, in a batch of B, has the trace as its expectation. That of a weight is a mean over images, and B times
    its square has Tr Cov + B ‖mean‖², the more too much the further a network is from its minimum: at 2 bits several
    times the trace. So the trace is taken from how far the gradients of one batch and of the next lie apart (see Batch;
    about a moving mean they would scatter as the mean itself does in a training), except where gradients are `signed`:
    with signs at random their mean is 0 and B times the square is right.
    A weight that layers share is one tensor, whose gradient is the sum of theirs; each site has a part of its trace,
    since their losses are added.
    """

    def __init__(self, momentum: float, *, signed: bool = False) -> None:
        self.momentum, self.signed = momentum, signed
        self.traces: dict[str, float] = {}
        self.steps = 0
        self._shares: Shares = {}
        self._first: dict[str, str] = {}
        self._squares: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._before: dict[str, Batch] = {}
        self._counted: dict[str, int] = {}
        self._samples: dict[str, Tensor] = {}

    def watch(self, quantizers: dict[str, Quantizer]) -> None:
        """Listens to the gradients of all sites from now on."""
        self._shares = shares_of(quantizer.site for quantizer in quantizers.values())
        self._first = {name: first for first, names in self._shares.items() for name in names}
        for name, quantizer in quantizers.items():
            weight = quantizer.site.kind == "weight"
            whole = weight and (not self.signed or len(self._shares[self._first[name]]) > 1)
            quantizer.seen = partial(self._see_whole if whole else self._see, name)

    @contextmanager
    def watching(self, quantizers: dict[str, Quantizer]) -> Iterator[None]:
        """Listens to the gradients of all sites inside it alone."""
        self.watch(quantizers)
        try:
            yield
        finally:
            for quantizer in quantizers.values():
                quantizer.seen = None

    def _see(self, name: str, gradient: Tensor, unit: float) -> None:
        """The square of a gradient that belongs to one image, or has signs at random."""
        square = dot(gradient, gradient) / unit**2
        self._squares[name] = self._squares[name] + square if name in self._squares else square

    def _see_whole(self, name: str, gradient: Tensor, _: float) -> None:
        """A gradient to a weight in its own unit, summed over the layers that share it."""
        first = self._first[name]
        self._gradients[first] = self._gradients[first] + gradient if first in self._gradients else gradient.float()

    def take(self, images: int, quantized: float = 1.0) -> None:
        """The gradients of one step, of a batch of `images`, into the means.

        quantized: share of the weights that was (QuantNoise); the gradients to the others were not seen.
        """
        self.steps += 1
        share = _share(self.momentum, self.steps)
        for first, gradient in self._gradients.items():
            if self.signed:
                self._squares[first] = dot(gradient, gradient)
            else:
                self._compare(first, Batch(gradient, images, quantized))
        for name, square in self._squares.items():
            for site, part in self._shares.get(name, {name: 1.0}).items():
                value = float(square) * images * part
                before = self.traces.get(site, value)
                self.traces[site] = before + share * (value - before)
        self._squares.clear()
        self._gradients.clear()

    def _compare(self, first: str, batch: Batch) -> None:
        """One batch's gradient to a weight into the mean of its traces; a first one alone, with no other to compare it
        with, stands in until there are two, or not at all where something is known from a checkpoint of before.
        """
        before, self._before[first] = self._before.get(first), batch
        counts = before is not None or batch.images == 1
        if not counts and first in self.traces:
            return
        self._counted[first] = self._counted.get(first, 0) + counts
        share, trace = _share(self.momentum, max(1, self._counted[first])), batch.trace(before)
        for site, part in self._shares[first].items():
            known = self.traces.get(site, trace * part)
            self.traces[site] = known + share * (trace * part - known)

    def state(self) -> State:
        """All that going on needs: traces, and the last gradients of weights."""
        names = list(self.traces)
        traces = torch.tensor([self.traces[name] for name in names], dtype=torch.float64)
        last = {f"last.{name}": batch.gradient for name, batch in self._before.items()}
        batches = {name: [batch.images, batch.quantized] for name, batch in self._before.items()}
        facts = {"names": names, "steps": self.steps, "batches": batches, "counted": dict(self._counted)}
        return {"traces": traces, **last}, facts

    def load(self, state: State) -> None:
        """Takes back what `state` gave; a state from before gradients were compared has no last ones, and means go on
        from its traces.
        """
        tensors, facts = state
        self.traces = dict(zip(facts["names"], tensors["traces"].tolist(), strict=True))
        self.steps = facts["steps"]
        self._before = {name: Batch(tensors[f"last.{name}"], *each) for name, each in facts.get("batches", {}).items()}
        self._counted = dict(facts.get("counted", {}))

    def losses(self, training: Training, menu: Sequence[int], error: str) -> dict[tuple[str, int], float]:
        """½ Tr(F) E[δ²] of every site at every number of bits of the menu, in nats.

        error: "model", E[δ²] = Δ² / 12 with the range kept (the uniform model of noise, FIT's from memory, and reverse
        water-filling's convex function; whether QBitOpt has it is not known to us), or "measured": of latent weights,
        and of a sample of activations, on that grid (project's own choice: at 2 and 3 bits values lie on few levels,
        and the grid's ends move with the bits). What lies beyond the present range counts as lying at its end: that it
        is clipped is part of what is trained, passes no gradient, and is the same at all bits. Counted as an error it
        would hide what more bits would mend, and a site that learns to clip, as logits do, would be given few for good.
        """
        found: dict[tuple[str, int], float] = {}
        for name, quantizer in training.trainable.quantizers.items():
            trace = max(0.0, self.traces.get(name, 0.0))  # of little noise the estimate may come out below 0
            values = self._values(training, name) if error == MEASURED else None
            errors = self._modelled(training, name, menu) if values is None else measured(quantizer, values, menu)
            found |= {(name, bits): 0.5 * trace * square for bits, square in zip(menu, errors, strict=True)}
        return found

    @staticmethod
    def _modelled(training: Training, name: str, menu: Sequence[int]) -> list[float]:
        quantizer = training.trainable.quantizers[name]
        mask = training.trainable.masks.get(quantizer.site.layer) if quantizer.site.kind == "weight" else None
        kept = None
        if mask is not None:
            rows = quantizer.spec.slices(mask.double())
            kept = rows.sum(1) * (len(rows) / mask.numel())
        return modelled(training.trainable.range(name), menu, kept)

    @torch.no_grad()
    def _values(self, training: Training, name: str) -> Tensor | None:
        """The site's latent weight as the forward pass has it, or a sample of its activation; None where none was
        seen.
        """
        site = training.trainable.quantizers[name].site
        return training.trainable.facing(site.layer) if site.kind == "weight" else self._samples.get(name)

    def sample(self, training: Training, x: Tensor) -> None:
        """Looks at values of the activations of a batch, drawn at random by the step, for the measured noise."""
        generator = torch.Generator().manual_seed(training.at)
        with torch.no_grad(), training.evaluating(averaged=False):  # on the scales that the noise is measured with
            for name, value in training.trainable.observe(x).items():
                flat = value.reshape(-1)  # a stride in place of chance would fall in step with rows, and see borders
                drawn = torch.randint(len(flat), (SAMPLE,), generator=generator) if len(flat) > SAMPLE else slice(None)
                self._samples[name] = flat[drawn].clone()


def _share(momentum: float, steps: int) -> float:
    """Share of the newest step in a moving mean: that of a plain mean until it has seen enough."""
    return max(1 - momentum, 1 / steps)


def modelled(ends: Range, menu: Sequence[int], kept: Tensor | None = None) -> list[float]:
    """Δ² / 12 at each number of bits with the range that the site has now, mean over its slices.

    kept: [slices], where some is pruned: elements of each slice that are not, over the elements of a slice on average;
    zeros have no error.
    """
    squares = (ends.hi - ends.lo).double().square()
    square = float((squares if kept is None else squares * kept).mean())
    return [square / (2**bits - 1) ** 2 / 12 for bits in menu]


@torch.no_grad()
def measured(quantizer: Quantizer, values: Tensor, menu: Sequence[int]) -> list[float]:
    """Mean squared error of `values` at each number of bits with the range that the site has now, less what that range
    clips. values: a weight in its own shape, or values of an activation in any.
    """
    found: list[float] = []
    reached = quantizer.clipped(values)
    at_once = max(1, AT_ONCE // max(1, values.numel()))
    for start in range(0, len(menu), at_once):
        there = [quantizer.at(bits) for bits in menu[start : start + at_once]]
        each = (len(there), *[1] * values.dim())
        steps = torch.stack([_spread(other.steps_of(values), values) for other in there])
        zero = torch.stack([other.zero.round().clamp(other.spec.qmin, other.spec.qmax) for other in there]).view(each)
        least = torch.tensor([other.spec.qmin for other in there]).view(each) - zero
        most = torch.tensor([other.spec.qmax for other in there]).view(each) - zero
        error = values.div(steps).round_().clamp_(least, most).mul_(steps).sub_(reached)
        norms = torch.linalg.vector_norm(error.flatten(1), dim=1, dtype=torch.float64)
        found += (norms.square() / max(1, values.numel())).tolist()
    return found


def _spread(steps: Tensor, values: Tensor) -> Tensor:
    """Steps with as many dimensions as the values that they belong to."""
    return steps.view([1] * values.dim()) if steps.numel() == 1 else steps
