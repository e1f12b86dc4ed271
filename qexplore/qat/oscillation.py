"""Weights that jump to and fro between two codes: a meter, and two cures."""

from __future__ import annotations

import torch
from torch import Tensor

from qexplore.ptq.steps import State
from qexplore.qat.quantizers import Quantizer
from qexplore.qat.training import Idle, Training
from qexplore.report import Event

MOMENTUM = 0.01  # of the moving share of steps in which a code turns back
OFTEN = 0.005  # above it a weight is said to oscillate


class Oscillation(Idle):
    """How often each weight's code changes back in the direction that it came from, as a moving share of the steps.

    Damping and freezing are known cures, written from memory (arXiv 2203.11086 was not checked); momentum and the
    threshold of the meter are the project's own choice.
    damping: strength λ of λ Σ (w - ŵ)², whose gradient pulls weights inside the grid to their codes. freezing: the
    share above which a weight is held at its mean code for good; 0 for neither.
    """

    name = "oscillation"

    def __init__(self, damping: float = 0.0, freezing: float = 0.0) -> None:
        self.damping, self.freezing = damping, freezing
        self._sites: dict[str, _Site] = {}
        self._kept: dict[str, Tensor] = {}

    def begin(self, training: Training) -> list[Event]:
        for name, quantizer in _weights(training):
            self._sites[name] = self._site(training, quantizer)
        for key, value in self._kept.items():
            site, _, part = key.partition("|")
            setattr(self._sites[site], part, torch.empty_like(getattr(self._sites[site], part)).copy_(value))
        self._hold(training)
        return []

    @torch.no_grad()
    def after_backward(self, training: Training) -> None:
        if not self.damping:
            return
        for _, quantizer in _weights(training):
            layer = quantizer.site.layer
            weight, facing = training.trainable.weights[layer], training.trainable.facing(layer)
            codes, scale = quantizer.codes(facing), quantizer.steps_of(facing)
            inside = (facing >= scale * quantizer.spec.qmin) & (facing <= scale * quantizer.spec.qmax)
            pull = (facing - codes * scale).mul_(inside).mul_(2 * self.damping * training.trainable.factor(layer))
            weight.grad = pull if weight.grad is None else weight.grad.add_(pull)

    @torch.no_grad()
    def after_step(self, training: Training) -> list[Event]:
        for name, quantizer in _weights(training):
            site, codes = self._sites[name], _codes(training, quantizer)
            if site.bits != quantizer.spec.bits:  # other codes mean other weights
                self._sites[name] = self._site(training, quantizer)
                continue
            site.take(codes, self.freezing)
        self._hold(training)
        return []

    def _hold(self, training: Training) -> None:
        """Tells what is trained which weights are frozen by now, and puts these on their codes."""
        if not self.freezing:
            return
        trainable = training.trainable
        trainable.frozen = {q.site.layer: self._sites[name].fixed for name, q in _weights(training)}
        trainable.hold_frozen()

    def _site(self, training: Training, quantizer: Quantizer) -> _Site:
        return _Site(_codes(training, quantizer), quantizer.spec.bits, freezing=self.freezing > 0)

    def after_epoch(self, training: Training) -> list[Event]:
        if not self._sites:
            return []
        often = {name: site.often for name, site in self._sites.items()}
        share = sum(float(each.sum()) for each in often.values()) / sum(each.numel() for each in often.values())
        sites = {name: float(each.float().mean()) for name, each in often.items()}
        return [{"event": "oscillation", "at": training.at, "share": share, "sites": sites}]

    def state(self) -> State:
        return {f"{n}|{part}": getattr(site, part) for n, site in self._sites.items() for part in site.parts}, {}

    def load(self, state: State) -> None:
        self._kept = dict(state[0])


class _Site:
    """The codes of one weight after the last step, the direction of each one's last change, and moving means.

    freezing: whether weights can be held at their mean code, which only then is followed.
    """

    def __init__(self, codes: Tensor, bits: int, *, freezing: bool) -> None:
        self.codes, self.bits = codes.to(torch.int16), bits  # a grid has at most 16 bits
        self.sign = torch.zeros_like(codes, dtype=torch.int8)
        self.share = torch.zeros_like(codes)
        self.frozen = torch.zeros_like(codes if freezing else codes[:0], dtype=torch.bool)
        self.mean = codes.clone() if freezing else codes[:0]
        self.parts = ("codes", "sign", "share", *(("mean", "frozen") if freezing else ()))

    @property
    def often(self) -> Tensor:
        """Which weights oscillate."""
        return self.share > OFTEN

    @property
    def held(self) -> Tensor:
        """The codes at which weights are held, where they are."""
        return self.mean.round()

    @property
    def fixed(self) -> tuple[Tensor, Tensor]:
        """Which weights are frozen, and at which codes."""
        return self.frozen, self.held

    def take(self, codes: Tensor, freezing: float) -> None:
        """The codes after one more step; a frozen weight will be put back on its own."""
        if freezing:
            codes = torch.where(self.frozen, self.held, codes)
        now = codes.to(torch.int16)
        change = (now > self.codes).to(torch.int8) - (now < self.codes).to(torch.int8)
        self.share.lerp_((change * self.sign < 0).to(self.share.dtype), MOMENTUM)
        self.sign = torch.where(change != 0, change, self.sign)
        self.codes = now
        if freezing:
            self.mean = torch.where(self.frozen, self.mean, self.mean.lerp(codes, MOMENTUM))
            self.frozen.logical_or_(self.share > freezing)
            self.codes = torch.where(self.frozen, self.held, codes).to(torch.int16)


def _weights(training: Training) -> list[tuple[str, Quantizer]]:
    """Quantizers of weights, each tied weight once."""
    seen: set[int] = set()
    found = []
    for name, quantizer in training.trainable.quantizers.items():
        if quantizer.site.kind == "weight":
            weight = training.trainable.weights[quantizer.site.layer]
            if id(weight) not in seen:
                seen.add(id(weight))
                found.append((name, quantizer))
    return found


def _codes(training: Training, quantizer: Quantizer) -> Tensor:
    return quantizer.codes(training.trainable.facing(quantizer.site.layer))
