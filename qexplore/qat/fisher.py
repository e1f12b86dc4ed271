"""The Fisher information of every site, from the gradients that training computes anyway (FIT, as QBitOpt has it)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from qexplore.numerics import Range, grid_of
from qexplore.numerics.learned import dot
from qexplore.qat.quantizers import Quantizer
from qexplore.qat.training import Training

MODELLED, MEASURED = "model", "measured"
ERRORS = (MODELLED, MEASURED)
SAMPLE = 1 << 14  # values of an activation on which the noise is measured


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

        error: "model", E[δ²] = Δ² / 12 with the range kept (QBitOpt's FIT, with the uniform model of noise; reverse
        water-filling's convex function), or "measured": of latent weights, and of a sample of activations, on that grid
        (project's own choice: at 2 and 3 bits values lie on few levels, and the grid's ends move with the bits). What
        lies beyond the present range counts as lying at its end: that it is clipped is part of what is trained, passes
        no gradient, and is the same at all bits. Counted as an error it would hide what more bits would mend, and a
        site that learns to clip, as logits do, would be given few for good.
        """
        found = {}
        for name, quantizer in training.trainable.quantizers.items():
            trace = self.traces.get(name, 0.0)
            for bits in menu:
                square = self._measured(training, name, quantizer, bits) if error == MEASURED else None
                found[name, bits] = 0.5 * trace * (modelled(quantizer, bits) if square is None else square)
        return found

    @torch.no_grad()
    def _measured(self, training: Training, name: str, quantizer: Quantizer, bits: int) -> float | None:
        """Mean squared error of the site's values at `bits`; None where none was seen."""
        there = quantizer.at(bits)
        if quantizer.site.kind == "weight":
            weight = training.trainable.facing(quantizer.site.layer)
            reached = quantizer.clipped(weight)
            return float((there.codes(weight) * there.steps_of(weight) - reached).double().square().mean())
        if name not in self._samples:
            return None
        values, grid = self._samples[name][None], grid_of(there.spec, there.range())
        return float((grid.values(grid.codes(values)) - quantizer.clipped(values)).double().square().mean())

    def sample(self, training: Training, x: Tensor) -> None:
        """Looks at values of the activations of a batch, drawn at random by the step, for the measured noise."""
        generator = torch.Generator().manual_seed(training.at)
        with torch.no_grad(), training.evaluating(averaged=False):  # on the scales that the noise is measured with
            for name, value in training.trainable.observe(x).items():
                flat = value.reshape(-1)  # a stride in place of chance would fall in step with rows, and see borders
                drawn = torch.randint(len(flat), (SAMPLE,), generator=generator) if len(flat) > SAMPLE else slice(None)
                self._samples[name] = flat[drawn].clone()


def modelled(quantizer: Quantizer, bits: int) -> float:
    """Δ² / 12 at `bits` with the range that the site has now, mean over its slices."""
    width: Range = quantizer.range()
    step = (width.hi - width.lo) / (2**bits - 1)
    return float(step.double().square().mean()) / 12
