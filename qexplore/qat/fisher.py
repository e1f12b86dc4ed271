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
TINY = 1e-9  # what rounding may make of no scatter at all
FACTS = ("steps", "square", "lone", "left", "missing")  # numbers of a Scatter


@dataclass
class Scatter:
    """The gradients of batches to one weight: how far they lie from their own moving mean, and where that is.

    mean: Σ w g, shape of the weight, w the share of a step in the moving mean (Σ w = 1) and g the gradient of the
    mean loss of its batch; square: Σ w ‖g‖². lone: Σ w / B, of batches of B images; left: Σ w² / B, which of the
    noise of single batches is left in the mean. Where a share q of the weights is quantized (QuantNoise), the others'
    gradients are 0: g is what was seen over q, `square` and `left` have one 1 / q more in place of two, and
    `missing`, Σ w² (1 / q - 1), is what that leaves of the mean gradient itself.
    """

    mean: Tensor
    steps: int = 0
    square: float = 0.0
    lone: float = 0.0
    left: float = 0.0
    missing: float = 0.0

    def take(self, gradient: Tensor, images: int, quantized: float, momentum: float) -> None:
        """The gradient of one batch of `images` into the means."""
        self.steps += 1
        share = _share(momentum, self.steps)
        self.square += share * (float(dot(gradient, gradient)) / quantized - self.square)
        self.mean.lerp_(gradient if quantized == 1 else gradient / quantized, share)
        self.lone += share * (1 / images - self.lone)
        kept, own = (1 - share) ** 2, share**2
        self.left = kept * self.left + own / (images * quantized)
        self.missing = kept * self.missing + own * (1 / quantized - 1)

    @property
    def trace(self) -> float:
        """Tr Cov + ‖mean‖² of the gradients of single images: the trace of the empirical Fisher information.

        With σ² = Tr Cov and G = ‖mean‖², `square` has the expectation σ² lone + G and ‖Σ w g‖² has σ² left + G (1 +
        missing): two equations, of which σ² is at least 0 and G is left as it comes out, so that the trace, never below
        0, has no bias. One batch alone has no scatter: its square is then taken for the noise of its images alone.
        """
        turned = 1 + self.missing
        apart = turned * self.lone - self.left
        if apart <= TINY * self.lone:
            return self.square / self.lone
        noise = max(0.0, (turned * self.square - float(dot(self.mean, self.mean))) / apart)
        return self.square + noise * (1 - self.lone)


class Fisher:
    """Moving means of Σ g² over the elements of each site, an image: the trace of the empirical Fisher information.

    g is the gradient of the mean loss of a batch to the site's quantized values, as the backward pass comes by; it is
    the latent weight's too, by the straight-through estimator. That of an activation belongs to its own image: B times
    its square, in a batch of B, has the trace as its expectation. That of a weight is a mean over images, and B times
    its square has Tr Cov + B ‖mean‖², the more too much the further a network is from its minimum: at 2 bits several
    times the trace. So the trace is taken from the scatter of the batches about their moving mean (see Scatter), except
    where gradients are `signed`: with signs at random their mean is 0 and B times the square is right.
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
        self._scatters: dict[str, Scatter] = {}
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
                self._scatter(first, gradient, images, quantized)
        for name, square in self._squares.items():
            for site, part in self._shares.get(name, {name: 1.0}).items():
                value = float(square) * images * part
                before = self.traces.get(site, value)
                self.traces[site] = before + share * (value - before)
        self._squares.clear()
        self._gradients.clear()

    def _scatter(self, first: str, gradient: Tensor, images: int, quantized: float) -> None:
        """The gradient of one batch to a weight; of the first batch after a checkpoint without scatters what was known
        stays.
        """
        scatter = self._scatters.setdefault(first, Scatter(torch.zeros_like(gradient)))
        scatter.take(gradient, images, quantized, self.momentum)
        if scatter.steps > 1 or first not in self.traces:
            trace = scatter.trace
            self.traces |= {site: trace * part for site, part in self._shares[first].items()}

    def state(self) -> State:
        """All that going on needs: traces, and what those of weights are made of."""
        names = list(self.traces)
        traces = torch.tensor([self.traces[name] for name in names], dtype=torch.float64)
        means = {f"mean.{name}": scatter.mean for name, scatter in self._scatters.items()}
        scatters = {name: {key: getattr(each, key) for key in FACTS} for name, each in self._scatters.items()}
        return {"traces": traces, **means}, {"names": names, "steps": self.steps, "scatters": scatters}

    def load(self, state: State) -> None:
        """Takes back what `state` gave; a state from before there were scatters has none, and they begin anew."""
        tensors, facts = state
        self.traces = dict(zip(facts["names"], tensors["traces"].tolist(), strict=True))
        self.steps = facts["steps"]
        scatters = facts.get("scatters", {}).items()
        self._scatters = {name: Scatter(tensors[f"mean.{name}"].clone(), **each) for name, each in scatters}

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
            trace, values = self.traces.get(name, 0.0), self._values(training, name) if error == MEASURED else None
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
