"""How a network is trained: one frozen description that all training steps share."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields
from typing import Any

from qexplore.errors import QexploreError, UnknownName
from qexplore.qat.norms import KEEP, MODES, STATIC

SCHEDULES = ("cosine", "step", "constant")
SGD, ADAM = "sgd", "adam"
OPTIMIZERS = (SGD, ADAM)
DROPS = (0.5, 0.75)  # shares of the training at which the schedule "step" divides the rate by ten
MOST = 10_000


@dataclass(frozen=True)
class Settings:
    """Settings of a training step; where the papers name no number, they are the project's own choice.

    epochs: passes over the training images. batch: images of a step. rate: learning rate of weights, biases and batch
    norms (deep networks whose batch norms are folded bear about a tenth of what they bear with them). quantizer_rate:
    of what quantizers learn; by Adam, as a share of a scale's first size a step. quantizer_optimizer: "adam", or "sgd",
    which moves scales as LSQ does: by their own gradients times 1 / √(N Q).
    schedule: "cosine" to zero, "step" (a tenth at half and again at three quarters of all steps) or "constant"; warmup:
    epochs over which the rate first rises. optimizer: "sgd" (Nesterov, momentum) or "adam", of the weights. decay:
    weight decay of the weights alone. smoothing: of the labels.
    learn: whether ranges are learned (LSQ, LSQ+), or stay. batch_norm: what happens to batch norms that are not folded
    yet: "static" (folded first; white paper §4), "keep" (trained, folded into the scales of the channels afterwards),
    "frozen" (running statistics stay) or "double-forward". reestimate: batches over which statistics are estimated anew
    afterwards, of "keep" alone: those of a double forward scale the weights before these are rounded, and with other
    statistics the network would be another one.
    distill: share of the loss that is the distance to the FP32 network's outputs at a temperature (Hinton et al. 2015;
    survey §IV-D). noise: share of the weights that is quantized in each step, drawn anew (QuantNoise, Fan et al. 2020;
    survey §III-H); 1 is plain training. ema: decay of the average of all that is trained, which is what is kept; 0
    keeps the last.
    damping: strength of the pull of weights to the grid; freezing: share of steps in which a weight's code turns back,
    above which it is held; 0 does neither (see Oscillation).
    shift, flip: images are moved by up to so many pixels each way, and mirrored half of the time; None: as is usual
    with the task's images (digits 1 and not, CIFAR-10 3 and mirrored, those of your own not at all).
    half: convolutions in bfloat16 where the processor has it; others, slow in it, compute in float32.
    """

    epochs: int = 10
    batch: int = 64
    rate: float = 0.001
    quantizer_rate: float = 0.002
    quantizer_optimizer: str = ADAM
    schedule: str = "cosine"
    warmup: float = 0.0
    optimizer: str = SGD
    momentum: float = 0.9
    decay: float = 1e-4
    smoothing: float = 0.0
    learn: bool = True
    batch_norm: str = STATIC
    reestimate: int = 0
    distill: float = 0.0
    temperature: float = 4.0
    noise: float = 1.0
    ema: float = 0.0
    damping: float = 0.0
    freezing: float = 0.0
    shift: int | None = None
    flip: bool | None = None
    half: bool = False

    def __post_init__(self) -> None:
        choices = {"schedule": SCHEDULES, "optimizer": OPTIMIZERS, "quantizer_optimizer": OPTIMIZERS}
        for name, known in {**choices, "batch_norm": (STATIC, *MODES)}.items():
            if getattr(self, name) not in known:
                raise UnknownName(name.replace("_", " "), getattr(self, name), known)
        _between("epochs", self.epochs, 1, MOST)
        _between("batch", self.batch, 1, MOST)
        _between("rate", self.rate, 0, 10)
        _between("quantizer_rate", self.quantizer_rate, 0, 1)
        _between("warmup", self.warmup, 0, self.epochs)
        _between("reestimate", self.reestimate, 0, MOST)
        _between("temperature", self.temperature, 0.1, 100)
        if self.shift is not None:
            _whole("shift", self.shift)
            _between("shift", self.shift, 0, 64)
        if not isinstance(self.flip, bool | None):
            raise QexploreError(f"The setting 'flip' of a training is true, false or null; not {self.flip!r}.")
        for name in ("momentum", "smoothing", "ema"):
            _between(name, getattr(self, name), 0, 0.9999999)
        for name in ("distill", "noise", "freezing"):
            _between(name, getattr(self, name), 0, 1)
        for name in ("decay", "damping"):
            _between(name, getattr(self, name), 0, 1000)
        if self.reestimate and self.batch_norm != KEEP:
            raise QexploreError(
                f"Statistics are estimated anew (reestimate: {self.reestimate}) of batch norms that are trained behind "
                f"the rounding of the weights: set batch_norm to {KEEP}, or reestimate to 0."
            )

    def factor(self, at: int, steps: int, per_epoch: int) -> float:
        """What the rates are multiplied with at step `at` of `steps`, `per_epoch` in an epoch."""
        rising = round(self.warmup * per_epoch)
        if at < rising:
            return (at + 1) / (rising + 1)
        done = (at - rising) / max(1, steps - rising)
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 0.1 ** sum(at / steps >= drop for drop in DROPS) if self.schedule == "step" else 1.0


def defaults_of(kind: type = Settings) -> dict[str, Any]:
    """Name and default of every setting."""
    return {field.name: field.default for field in fields(kind) if field.default is not MISSING}


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise QexploreError(f"The setting {name!r} of a training is a whole number; not {value!r}.")


def _between(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise QexploreError(f"The setting {name!r} of a training lies between {least:g} and {most:g}; not {value!r}.")
