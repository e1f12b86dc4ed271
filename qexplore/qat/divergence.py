"""Whether a training still leads anywhere, and if not, where it broke."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qexplore.network import Judged
from qexplore.qat.errors import Diverged
from qexplore.qat.sparsity import share_of
from qexplore.qat.training import Training

TIMES = 20.0  # the first loss, above which the training is given up
LEAST = 5.0  # nats, below which no loss is called too high
_MUCH = math.log(1.1)
_PARTS = {
    "bias": "bias of the layer",
    "gain": "gain of the batch norm",
    "shift": "shift of the batch norm",
    "mean": "running mean of the batch norm",
    "variance": "running variance of the batch norm",
}


def check(training: Training, loss: float) -> None:
    """Raises Diverged where the loss of a step is not finite, or far above that of the first."""
    if training.first is None and math.isfinite(loss):
        training.first = loss
    _check(training, loss, training.first)


def _check(training: Training, loss: float, first: float | None) -> None:
    if math.isfinite(loss) and (first is None or loss <= max(LEAST, TIMES * first)):
        return
    what = f"the loss is {loss:.3g} nats" if math.isfinite(loss) else f"the loss is {loss}"
    raise _diverged(training, what, _culprit(training))


def _diverged(training: Training, what: str, site: str, besides: str = "") -> Diverged:
    """besides: what may help in place of smaller rates."""
    settings, quantized = training.settings, training.trainable.quantizers
    remedy = f"Start again with a smaller rate, such as rate={settings.rate / 10:.2g}"
    if quantized and settings.learn:
        remedy += f" and quantizer_rate={settings.quantizer_rate / 10:.2g}"
    return Diverged(training.name, what, training.at, training.epoch + 1, site, f"{remedy}{besides}.")


@torch.no_grad()
def check_alive(training: Training, judged: Judged) -> None:
    """Raises Diverged where the network gives every held-out image the same answer, or numbers that are not finite, or
    is far worse than after the first epoch.
    """
    # Not against the loss of a step, which may be a distance to the FP32 network.
    if training.held is None and math.isfinite(judged.loss):
        training.held = judged.loss
    _check(training, judged.loss, training.held)
    with training.evaluating():
        x, _ = next(training.calibration.batches())
        logits = training.trainable(x)
    if len(logits) > 1 and bool((logits == logits[:1]).all()):
        quantized = bool(training.trainable.quantizers)
        before = "; if it was so before the training, put 'equalize' before the ranges or give more bits"
        besides = ", or a warm-up" + (before if quantized else ", or prune less" if training.trainable.masks else "")
        raise _diverged(training, "every held-out image is given the same answer", _silent(training, x), besides)


def _silent(training: Training, x: Tensor) -> str:
    """The first quantized activation that is the same for every image, else how much is pruned."""
    with training.evaluating():
        for name, value in training.trainable.observe(x).items():
            quantizer = training.trainable.quantizers[name]
            codes = quantizer.round(value / quantizer.scale, quantizer.scale)
            if bool((codes == codes[:1]).all()):
                return f"the first site that is the same for all of them is {name!r}"
    pruned = share_of(training.network, training.trainable.masks)
    return f"{100 * pruned:.4g} % of the weights are pruned and no site tells more" if pruned else "no site tells why"


@torch.no_grad()
def _culprit(training: Training) -> str:
    """The first site whose numbers are not finite, else a bias or batch norm, else the site that has changed most."""
    trainable = training.trainable
    for site in training.network.sites:
        quantizer = trainable.quantizers.get(site.name)
        grid = [] if quantizer is None else [quantizer.size, *([] if quantizer.offset is None else [quantizer.offset])]
        values = [trainable.weights[site.layer], *grid] if site.kind == "weight" else grid
        if not all(bool(torch.isfinite(value).all()) for value in values):
            return f"the first site with numbers that are not finite is {site.name!r}"
    for name, value in {**trainable.latent(), **trainable.buffers()}.items():
        if not bool(torch.isfinite(value).all()):
            kind, _, where = name.partition(".")
            return f"at every site the numbers are finite, but not the {_PARTS[kind]} {where!r}"
    grown = {}
    for site in training.network.sites:
        if site.kind == "weight":
            before = torch.linalg.vector_norm(training.network.layers[site.layer].weight)
            grown[site.name] = float(torch.linalg.vector_norm(trainable.weights[site.layer]) / before.clamp(min=1e-12))
    worst = max(grown, key=lambda name: abs(math.log(max(grown[name], 1e-12))))
    if abs(math.log(max(grown[worst], 1e-12))) < _MUCH:
        return "the weights of no site have grown or shrunk by more than a tenth"
    return f"the site that has changed most is {worst!r}, its weights {grown[worst]:.3g} times as large as at the start"
