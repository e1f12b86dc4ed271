"""Sensitivity by Fisher information: all sites and all bits from the same backward passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.allocate.sensitivity.shared import shares_of
from qexplore.network import Network, Site, image_losses
from qexplore.network.footprint import micro_batch
from qexplore.network.graph import flat
from qexplore.network.heap import give_back
from qexplore.ptq import Calibration
from qexplore.report import Report

PASSES = 64  # over which the chance of signs averages: the gradients of a layer's weights have few directions
SAMPLE = 1 << 14  # pairs (value, weight) of an activation site
BLOCK = 32  # neighbouring values that are drawn together


@METRICS.register("fit")
def fit(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """½ Σ Fⱼⱼ δⱼ²: the empirical Fisher information of each number times its own squared quantization error, in nats.

    QBitOpt's sensitivity is FIT, which as we remember it is the trace of the Fisher information times the mean noise of
    a tensor. Multiplying number by number before the sum, with the noise measured rather than modelled, is this
    project's choice: it sees that the zeros of a ReLU lose nothing and that a small channel next to a large one loses
    everything. The Fisher information is that of the real network, from the labels of the calibration images, the mean
    of each image's own; the factor ½ is that of the loss's second-order expansion. Of a weight that layers share it is
    that of the one tensor, and each of its sites has as large a share of the loss as of its elements.
    """
    return fit_of(network, calibration, network.sites, bits, report)


def fit_of(
    network: Network, calibration: Calibration, sites: Sequence[Site], bits: Iterable[int], report: Report
) -> Losses:
    """`fit` of some sites alone: the others need no range."""
    return _scored(_Scores(network, calibration, asked_of_labels, sites), sites, bits, report)


@METRICS.register("fisher")
def fisher(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """½ Σ Fⱼⱼ δⱼ² as `fit` has it, with the Fisher information of the network's own answers in place of the labels'
    (project's own choice), in nats. Needs no labels.

    That is the second-order expansion of the metric `divergence`, and foresees it. The gradients that labels give are
    those of the few images which the network gets wrong, or is unsure of, and know only the direction of the label.
    """
    return fisher_of(network, calibration, network.sites, bits, report)


def fisher_of(
    network: Network, calibration: Calibration, sites: Sequence[Site], bits: Iterable[int], report: Report
) -> Losses:
    """`fisher` of some sites alone: the others need no range."""
    return _scored(_Scores(network, calibration, asked_of_answers, sites), sites, bits, report)


def _scored(scores: _Scores, sites: Sequence[Site], bits: Iterable[int], report: Report) -> Losses:
    menu = list(bits)
    scores.collect(report)
    give_back()
    return {(site.name, b): scores.loss(site, b) for site in report.track(sites, "noise of the sites") for b in menu}


def asked_of_labels(logits: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """What to take the gradient of, so that its outer product is, in expectation over random signs, the empirical
    Fisher information: the losses of the images, each with a sign of its own, so that what two images have in common
    cancels and the square of the sum is the sum of the squares. logits and labels as `image_losses` has them.
    """
    losses = image_losses(logits, y)
    signs = torch.randint(0, 2, losses.shape, generator=generator).to(losses.dtype).mul_(2).sub_(1)
    return (losses * signs).sum()


def asked_of_answers(logits: Tensor, _: Tensor, generator: torch.Generator) -> Tensor:
    """What to take the gradient of, so that its outer product is, in expectation over random signs, the Fisher
    information of the answers: at the logits of a position, diag(p) - p pᵀ, the covariance of its softmax.

    Signs in place of drawn labels give the same mean with less noise; those of different images cancel in every sum
    over a batch. The mean over the positions of an image is that of its divergence. logits: [images, …, classes], or
    maps [images, classes, H, W]; the labels are not looked at. Returns a number.
    """
    classes = 1 if logits.dim() == 4 else -1
    p = torch.softmax(logits.detach(), dim=classes)
    signs = torch.randint(0, 2, p.shape, generator=generator).to(p.dtype).mul_(2).sub_(1)
    pull = p.sqrt() * signs
    pull = pull - p * pull.sum(dim=classes, keepdim=True)
    positions = logits.numel() // (len(logits) * logits.shape[classes])
    return (logits * pull).sum() / math.sqrt(positions)


class _Scores:
    """Squared gradients of what `asked` makes of logits, labels and a generator: of every weight among `sites`,
    one that layers share as the one tensor that it is, and of a weighted sample of each activation; from PASSES batches
    or more, where there are as many images.
    """

    def __init__(
        self,
        network: Network,
        calibration: Calibration,
        asked: Callable[[Tensor, Tensor, torch.Generator], Tensor],
        sites: Sequence[Site],
    ) -> None:
        self.network, self.calibration, self.asked = network, calibration, asked
        self.at = {site.at: site for site in network.sites if site.kind == "activation"}
        self.shares = shares_of(sites)
        self.first = {site: first for first, of in self.shares.items() for site in of}
        self.weights = {
            first: network.layers[network.site(first).layer].weight.detach().requires_grad_() for first in self.shares
        }
        self.plan = network.real_plan(
            {network.site(site).layer: self.weights[first] for site, first in self.first.items()}
        )
        self.squares = {first: torch.zeros_like(weight) for first, weight in self.weights.items()}
        for name, weight in self.weights.items():
            weight.register_post_accumulate_grad_hook(partial(_take, self.squares[name]))  # type: ignore[no-untyped-call]
        self.pairs: dict[str, list[tuple[Tensor, Tensor]]] = {site.name: [] for site in self.at.values()}
        self.weighed: dict[str, list[float]] = {site.name: [] for site in self.at.values()}
        self.generator = torch.Generator().manual_seed(calibration.seed)

    def collect(self, report: Report) -> None:
        """One forward and one backward pass a micro-batch, as large as fits in the memory of an FP32 evaluation.

        What is asked is summed over the batch: an activation's gradient is then that of its own image; a weight's is a
        sum over images with random signs, whose square has the sum of squares as its expectation.
        """
        images = 0
        most = math.ceil(self.calibration.images / PASSES)
        squares = sum(square.nbytes for square in self.squares.values())
        size = min(micro_batch(self.network.graph, self.calibration.batch, besides=squares), max(1, most))
        for whole, labels in self.calibration.batches():
            for x, y in zip(torch.split(whole, size), torch.split(labels, size), strict=True):
                self._pass(x, y)
                images += len(y)
                report.progress(images, self.calibration.images, "gradients")

    def _pass(self, x: Tensor, y: Tensor) -> None:
        silent = dict(self.at)  # sites on which the loss does not depend

        def take(op: str, value: Tensor, gradient: Tensor) -> None:
            self._keep(silent.pop(op), value, gradient)

        def watch(op: str, value: Any) -> None:
            if op in self.at and value.requires_grad:
                # Taken as it comes, so that no more than a few gradients of activations are there at a time.
                value.register_hook(partial(take, op, value.detach()))

        images = x.detach().clone().requires_grad_()
        asked = self.asked(self.plan.watch(images, watch), y, self.generator)
        if asked.requires_grad:
            asked.backward()  # type: ignore[no-untyped-call]
        for site in silent.values():
            self.pairs[site.name].append((torch.zeros(1), torch.zeros(1)))

    def _keep(self, site: Site, value: Tensor, gradient: Tensor) -> None:
        """Keeps values with what their squared errors weigh: all of a small site, else a sample."""
        values, slopes = flat(value), flat(gradient.contiguous(memory_format=_order(value)))
        share = SAMPLE / (site.numel * self.calibration.images)
        if share < 1 and len(values) >= BLOCK:
            # The few images that have nearly all of the Fisher information get as many of the blocks.
            weighs = float(torch.linalg.vector_norm(slopes, dtype=torch.float64)) ** 2
            self.weighed[site.name].append(weighs)
            mean = sum(self.weighed[site.name]) / len(self.weighed[site.name])
            share *= weighs / mean if mean > 0 else 0.0
            values, slopes = _telling(values, slopes, max(1, math.ceil(share * len(values) / BLOCK)), self.generator)
        self.pairs[site.name].append((values, slopes.square()))

    def loss(self, site: Site, bits: int) -> float:
        """Expected rise of the loss with `site` at `bits`."""
        if site.kind == "weight":
            error = self.network.quantized_weight(site, bits) - self.network.layers[site.layer].weight
            first = self.first[site.name]
            total = float((self.squares[first] * error.square_()).sum(dtype=torch.float64))
            return 0.5 * total / self.calibration.images * self.shares[first][site.name]
        grid = self.network.fitted(site, bits).grid
        values, weights = self._sample(site.name)
        error = grid.values(grid.codes(values)).sub_(values).square_()
        return 0.5 * float(error.mul_(weights).sum(dtype=torch.float64)) / self.calibration.images

    def _sample(self, site: str) -> tuple[Tensor, Tensor]:
        """Values [1, elements] of an activation and what their squared errors weigh."""
        if len(self.pairs[site]) > 1:
            self.pairs[site] = [tuple(map(torch.cat, zip(*self.pairs[site], strict=True)))]  # type: ignore[list-item]
        values, weights = self.pairs[site][0]
        return values[None], weights


def _take(squares: Tensor, weight: Tensor) -> None:
    """Adds the square of the weight's gradient, which goes at once: those of all weights are never there together."""
    assert weight.grad is not None
    squares.addcmul_(weight.grad, weight.grad)
    weight.grad = None


def _telling(values: Tensor, slopes: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` blocks of neighbouring values, with slopes whose squares add up to as much as all of them do.

    A few images and places have nearly all of the Fisher information, so a block is drawn in proportion to what it has
    of it, and its slopes are scaled by what it stands for.
    """
    whole = len(values) // BLOCK * BLOCK
    blocks, rows = slopes[:whole].view(-1, BLOCK), values[:whole].view(-1, BLOCK)
    norms = torch.linalg.vector_norm(blocks, dim=1)
    below = norms.double().square_().cumsum(0)
    step = below[-1] / count
    at = (torch.arange(count) + torch.rand(1, generator=generator)) * step
    picked = torch.searchsorted(below, at).clamp_(max=len(blocks) - 1)
    drawn = blocks[picked] * (step.sqrt() / norms[picked].clamp(min=1e-30)).float()[:, None]
    return torch.cat([rows[picked].flatten(), values[whole:]]), torch.cat([drawn.flatten(), slopes[whole:]])


def _order(value: Tensor) -> torch.memory_format:
    ordered = value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if ordered else torch.contiguous_format
