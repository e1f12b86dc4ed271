"""Why a site hurts: one function for each cause, which looks at the tensors and at what each remedy would leave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from qexplore.debugging.channels import Channels
from qexplore.debugging.evidence import Suspect
from qexplore.debugging.harm import ONE_BIT, SUSPECT
from qexplore.debugging.remedies import CROSS_ENTROPY, METHODS, OWN, Tried
from qexplore.debugging.words import few, percent
from qexplore.registry import Registry

# Rounding errors lean where their mean holds most of the squared error of the layer's output.
LEANS = 0.5
# A grid twice as wide as the values wastes one bit.
WIDE = 2.0
# Estimators within a tenth of each other are taken for equally good.
ALIKE = 1.1
# A site without a visible fault is named when it alone has so much of what all sites do, and ten times the median.
STANDS_OUT, TIMES = 0.25, 10.0


@dataclass(frozen=True)
class Case:
    """A suspect, what each remedy leaves, and the median divergence of the sites of its kind, 0 of a lone one."""

    suspect: Suspect
    tried: Mapping[str, Tried]
    median: float

    def cured(self, remedy: str) -> bool:
        """Whether the remedy leaves less than a bit more would."""
        return remedy in self.tried and self.tried[remedy].divergence * ONE_BIT <= self.suspect.divergence

    @property
    def follows(self) -> bool:
        """Whether the range is bad only because it was found behind quantized weights: those are the cause."""
        return self.cured(OWN)

    @property
    def best_range(self) -> str:
        """The estimator whose range does best, of equally good ones the first: by the divergence it leaves; of a weight
        by its squared error, because a divergence may owe as much to another grid or to a bias.
        """
        weight = self.suspect.site.kind == "weight"
        cost = {name: self.tried[name].noise if weight else self.tried[name].divergence for name in METHODS}
        return next(name for name in METHODS if cost[name] <= ALIKE * min(cost.values()))

    @property
    def range_is_wrong(self) -> bool:
        """Whether another range would be worth more than a bit."""
        best = self.tried[self.best_range]
        better = self.suspect.error.mse >= ONE_BIT * best.noise
        return self.cured(self.best_range) and (better or self.suspect.site.kind == "activation")

    @property
    def gain(self) -> float:
        """Divergence over that with the best range."""
        return self.suspect.divergence / max(self.tried[self.best_range].divergence, 1e-300)

    @property
    def clips(self) -> bool:
        """Whether the range is too narrow: most of the error is clipping, or a wider range does better."""
        error = self.suspect.error
        return error.clipping > error.rounding or self.tried[self.best_range].span > 1

    @property
    def width(self) -> float:
        """Span of the grid over that of the values: the median over the slices."""
        span, rows = self.suspect.fitted.grid.span, self.suspect.rows
        values = rows.greatest.clamp(min=0) - rows.least.clamp(max=0)
        return float(((span.hi - span.lo) / values.clamp(min=1e-30)).median())


@dataclass(frozen=True)
class Told:
    """A cause in words and numbers, and the remedy that shows it ("": none does)."""

    text: str
    evidence: dict[str, float]
    remedy: str = ""


class Cause(Protocol):
    """What is said of a case where the cause holds; None where it does not."""

    def __call__(self, case: Case, /) -> Told | None: ...


CAUSES: Registry[Cause] = Registry("cause")
"""In the order of preference among causes whose remedies leave equally little."""


def explain(case: Case) -> tuple[str, Told] | None:
    """The cause whose remedy leaves least; the first of those that leave next to nothing. None where no cause holds."""
    found = [(name, told) for name in CAUSES if (told := CAUSES.get(name)(case)) is not None]
    if not found:
        return None
    left = {name: case.tried[told.remedy].divergence if told.remedy else math.inf for name, told in found}
    # What lies a bit below the least divergence worth a name is nothing: there the order decides.
    enough = max(ONE_BIT * min(left.values()), SUSPECT / ONE_BIT)
    return next((name, told) for name, told in found if left[name] <= enough)


@CAUSES.register("too-few-bits")
def too_few_bits(case: Case) -> Told | None:
    """The site has fewer bits than the recipe gives to its kind."""
    if not case.cured("bits"):
        return None
    bits, usual = case.suspect.bits, case.suspect.usual
    text = f"It has {_bits(bits)} where the recipe gives {usual} to the other {_plural(case)}."
    return Told(text, {"bits": bits, "usual_bits": usual}, "bits")


@CAUSES.register("clipped-range")
def clipped_range(case: Case) -> Told | None:
    """The range is too narrow: what it clips costs more than what it rounds."""
    error = case.suspect.error
    if case.range_is_wrong and case.clips:
        remedy = case.best_range
        text = (
            f"Its range clips: {percent(error.clipping / error.mse, 1)} of its squared error lies outside, and with "
            f"the range by {remedy} it would do {few(case.gain)} times less harm."
        )
    elif case.cured(CROSS_ENTROPY) and not case.range_is_wrong:
        remedy = CROSS_ENTROPY
        text = "Its range serves the values but not the softmax, which lives from the largest logits."
    else:
        return None
    outside = _outside(case.suspect)
    evidence = {"clipping": error.clipping, "rounding": error.rounding, "outside": outside, "gain": case.gain}
    return Told(text, evidence, remedy)


@CAUSES.register("wide-range")
def wide_range(case: Case) -> Told | None:
    """The grid is far wider than the values, so that most of its codes are never used."""
    if not case.range_is_wrong or case.clips or case.width < WIDE:
        return None
    text = (
        f"Its grid is {few(case.width)} times as wide as its values: most codes are never used, and with the range "
        f"by {case.best_range} it would do {few(case.gain)} times less harm."
    )
    return Told(text, {"width": case.width, "gain": case.gain}, case.best_range)


@CAUSES.register("biased-error")
def biased_error(case: Case) -> Told | None:
    """Rounding errors lean one way and shift the mean of the layer's output, which its bias could take back."""
    if not case.cured("bias") or case.suspect.leaning < LEANS:
        return None
    assert case.suspect.lean is not None
    shift = float(case.suspect.lean.abs().max())
    text = (
        f"Its rounding errors lean one way: {percent(case.suspect.leaning)} of the error of the layer's output is a "
        f"constant shift of each channel, up to {shift:.3g}, which the bias can take back."
    )
    return Told(text, {"leaning": case.suspect.leaning, "largest_shift": shift}, "bias")


@CAUSES.register("outlier-values")
def outlier_values(case: Case) -> Told | None:
    """The range reaches out to a few large values, and the many small ones share few codes."""
    if not case.range_is_wrong or case.clips or case.width >= WIDE:
        return None
    text = (
        f"Its range is set by a few large values: with that by {case.best_range}, which clips them, it would do "
        f"{few(case.gain)} times less harm."
    )
    return Told(text, {"width": case.width, "gain": case.gain}, case.best_range)


@CAUSES.register("outlier-channel")
def outlier_channel(case: Case) -> Told | None:
    """One grid serves all channels, and one or a few of them are far larger than the others."""
    channels = Channels.of(case.suspect)
    if not (case.cured("channels") and channels.few_codes and channels.outliers):
        return None
    names = ", ".join(map(str, channels.outliers[:4]))
    what = f"channel {names} is" if len(channels.outliers) == 1 else f"channels {names} are"
    text = (
        f"One grid serves all {channels.number} channels, and {what} {few(channels.sticks_out)} times as large as the "
        f"median, which is left with {channels.median_codes:.3g} of the {2**case.suspect.bits} codes."
    )
    return Told(text, channels.evidence(), "channels")


@CAUSES.register("unbalanced-channels")
def unbalanced_channels(case: Case) -> Told | None:
    """One grid serves channels whose ranges differ by octaves."""
    channels = Channels.of(case.suspect)
    if not (case.cured("channels") and channels.few_codes) or channels.outliers:
        return None
    text = (
        f"One grid serves {channels.number} channels whose ranges differ by {channels.octaves:.1f} octaves: "
        f"{percent(channels.starved)} of them use an eighth of the codes or less."
    )
    return Told(text, channels.evidence(), "channels")


@CAUSES.register("sensitive-site")
def sensitive_site(case: Case) -> Told | None:
    """No fault is to be seen, and yet the site does a large part of the harm: it needs more bits than the others."""
    if case.suspect.share < STANDS_OUT or case.suspect.divergence < TIMES * case.median:
        return None
    evidence: dict[str, float] = {"bits": case.suspect.bits}
    beside = ""
    if case.median > 0:
        evidence["times_median"] = case.suspect.divergence / case.median
        beside = f", {few(evidence['times_median'])} times as much as the median of the {_plural(case)}"
    text = (
        f"It does {percent(case.suspect.share)} of what all sites do one by one{beside}: "
        f"{_bits(case.suspect.bits)} do not suffice here, whatever the range."
    )
    return Told(text, evidence)


def _outside(suspect: Suspect) -> float:
    """Share of the values that the grid does not reach."""
    span, values = suspect.fitted.grid.span, suspect.rows.values
    low, high = (end[:, None] if len(end) == len(values) else end.view(1, 1) for end in (span.lo, span.hi))
    return float(((values < low) | (values > high)).double().mean())


def _plural(case: Case) -> str:
    return "weights" if case.suspect.site.kind == "weight" else "activations"


def _bits(bits: int) -> str:
    return "1 bit" if bits == 1 else f"{bits} bits"


def median(divergences: Sequence[float]) -> float:
    """The middle one; 0 of none."""
    return float(torch.tensor(divergences).median()) if divergences else 0.0
