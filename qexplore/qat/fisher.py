"""The Fisher information of every site, from gradients that come by in training (project's own choice)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from qexplore.numerics import Range
from qexplore.numerics.learned import dot
from qexplore.qat.quantizers import Quantizer
from qexplore.qat.training import Training

MODELLED, MEASURED = "model", "measured"
ERRORS = (MODELLED, MEASURED)
SAMPLE = 1 << 14  # values of an activation on which the noise is measured
AT_ONCE = 1 << 20  # values that are rounded to grids of several widths together


class Fisher:
    """Moving means of Σ g² over the elements of each site, an image: the trace of the empirical Fisher information.

    g is the gradient of the mean loss of a batch to the site's quantized values, as the backward pass comes by; it is
    the latent weight's too, by the straight-through estimator. That of an activation belongs to its own image; that of
    a weight is a mean over images whose square has 1/batch of the trace as its expectation where the mean gradient is
    small. Both come out as the trace times 1/batch, which is divided out.
    """

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.traces: dict[str, float] = {}
        self.steps = 0
        self._kinds: dict[str, str] = {}
        self._fresh: dict[str, Tensor] = {}
        self._samples: dict[str, Tensor] = {}

    def watch(self, quantizers: dict[str, Quantizer]) -> None:
        """Listens to the gradients of all sites from now on."""
        for name, quantizer in quantizers.items():
            self._kinds[name] = quantizer.site.kind
            quantizer.seen = partial(self._see, name)

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
        square = dot(gradient, gradient) / unit**2
        self._fresh[name] = self._fresh[name] + square if name in self._fresh else square

    def take(self, images: int, quantized: float = 1.0) -> None:
        """The gradients of one step, of a batch of `images`, into the means.

        quantized: share of the weights that was (QuantNoise); the gradients to the others were not seen.
        """
        self.steps += 1
        share = max(1 - self.momentum, 1 / self.steps)  # a plain mean until it has seen enough
        for name, square in self._fresh.items():
            value = float(square) * images / (quantized if self._kinds[name] == "weight" else 1.0)
            before = self.traces.get(name, value)
            self.traces[name] = before + share * (value - before)
        self._fresh.clear()

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
            errors = (
                modelled(training.trainable.range(name), menu) if values is None else measured(quantizer, values, menu)
            )
            found |= {(name, bits): 0.5 * trace * square for bits, square in zip(menu, errors, strict=True)}
        return found

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


def modelled(ends: Range, menu: Sequence[int]) -> list[float]:
    """Δ² / 12 at each number of bits with the range that the site has now, mean over its slices."""
    square = float((ends.hi - ends.lo).double().square().mean())
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
