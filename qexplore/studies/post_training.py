"""What post-training quantization reaches on the digits networks, against claims after the white paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor

from qexplore.ptq import Calibration
from qexplore.ptq.expectation import compare_means
from qexplore.recipes import POST_TRAINING, Recipe, presets
from qexplore.recipes.carry_out import prepare
from qexplore.studies.statistics import Mean, mean_over_seeds, paired
from qexplore.studies.study import DRAWN, STUDIES, Claim, Study, Verdict
from qexplore.studies.trials import Gauge, Trials, Variant
from qexplore.zoo import Task

TASKS = ("resnet-digits", "mobilenet-digits", "mobilenet-digits-unbalanced")
LADDER = "W8A8, one range a weight tensor"
LADDER_STEPS = ("original", "equalized", "bias absorbed", "bias corrected")
ROUNDINGS = ("nearest", "bias corrected", "AdaRound")
DATA_FREE = "Without an image"
LOGITS = "Activations at 4 bits, weights real"
LOGITS_ALONE = "Logits at 2 bits, other activations at 8, weights real"
PIPELINES = "Presets"
BITS = (4, 3, 2)  # of weights; two bits, where rounding decides everything
MEANS = "E[x] of layer inputs: batch norms against calibration images"
ABSORBED = "Channels with a bias to absorb, after equalization"
HALF, MOST = "median over the channels", "95th percentile"
HOW = (
    f"{DRAWN} The rows of 4, 3 and 2-bit weights fold batch norms, replace ReLU6 and equalize before they round, so "
    "that mobilenet-digits-unbalanced, which equalization balances, is there the same as mobilenet-digits."
)
NOISE = 0.01  # a loss of accuracy that nearest rounding must have for a gain over it to be asked


@STUDIES.register("post-training")
def post_training() -> Study:
    """Claims, ours after the white paper's post-training sections, that 8 × 8 digits can show."""
    variants = (*_ladder(), *_roundings(), *_data_free(), *_logits(), *_logits_alone(), *_pipelines())
    gauges = (
        Gauge(MEANS, "difference, in standard deviations", _means),
        Gauge(ABSORBED, "channels", _absorbed),
    )
    title = "Post-training quantization on the digits networks"
    return Study(title, TASKS, variants, _claims(), gauges, how=HOW)


def rounding_table(bits: int, granularity: str) -> str:
    """Name of the table of roundings."""
    return f"W{bits}, one range a {granularity}, activations real"


def _ladder() -> list[Variant]:
    full = Recipe.load("corrected-w8a8-per-tensor")
    left_out = (full.optional, ("absorb-high-bias", "correct-bias"), ("correct-bias",), ())
    return [Variant(LADDER, name, full.without(less)) for name, less in zip(LADDER_STEPS, left_out)]


def _roundings() -> list[Variant]:
    found = []
    for bits in BITS:
        for granularity in ("tensor", "channel"):
            for name, extra in zip(ROUNDINGS, ([], ["correct-bias"], ["adaround"])):
                steps = ["fold-bn", "replace-relu6", "equalize", "weight-ranges", *extra]
                recipe = _recipe(steps, weights={"bits": bits, "granularity": granularity})
                found.append(Variant(rounding_table(bits, granularity), name, recipe, seeded=bool(extra)))
    return found


def _data_free() -> list[Variant]:
    names = ("data-free-w8a8", "data-free-w8a8-per-tensor")
    return [Variant(DATA_FREE, name, Recipe.load(name), seeded=False) for name in names]


def _logits() -> list[Variant]:
    found = []
    for method in ("min-max", "mse", "cross-entropy"):
        ranges = {"activation-ranges": {"method": "mse", "logits": method}}
        found.append(Variant(LOGITS, f"logits by {method}", _recipe(["fold-bn", ranges], activations={"bits": 4})))
    return found


def _logits_alone() -> list[Variant]:
    """Here the choice of the logits' range decides everything that is lost."""
    found = []
    for method in ("min-max", "mse", "cross-entropy"):
        recipe = _recipe(["fold-bn", "activation-ranges"], sites={"logits": {"bits": 2, "method": method}})
        found.append(Variant(LOGITS_ALONE, f"logits by {method}", recipe))
    return found


def _pipelines() -> list[Variant]:
    names = presets(POST_TRAINING)
    return [Variant(PIPELINES, name, Recipe.load(name), seeded=not name.startswith("data-free")) for name in names]


def _recipe(steps: list[Any], **others: Any) -> Recipe:
    return Recipe.from_document({"name": "variant", "steps": steps, **others})


def _means(task: Task) -> Mapping[str, float]:
    """How far the analytic mean of a channel is from the empirical one, in empirical standard deviations."""
    network = prepare(task, _recipe(["fold-bn"]))
    found = compare_means(network, Calibration(task.data))
    apart = (found["analytic"] - found["empirical"]).abs() / found["empirical_std"].clip(lower=1e-9)
    return {HALF: float(apart.median()), MOST: float(apart.quantile(0.95))}


def _absorbed(task: Task) -> Mapping[str, float]:
    """Output channels whose bias absorption lowers; all output channels."""
    before = ["fold-bn", "replace-relu6", "equalize"]
    equalized = prepare(task, _recipe(before)).layers
    changed = {}
    for method in ("statistics", "empirical"):
        absorbed = prepare(task, _recipe([*before, {"absorb-high-bias": {"method": method}}])).layers
        lowered = [_lowered(layer.bias, absorbed[name].bias) for name, layer in equalized.items()]
        changed[method] = float(sum(lowered))
    return {**changed, "all": float(sum(len(layer.weight) for layer in equalized.values()))}


def _lowered(before: Tensor | None, after: Tensor | None) -> int:
    return 0 if before is None or after is None else int((after < before - 1e-6).sum())


def _claims() -> tuple[Claim, ...]:
    claims = [
        Claim("W8A8 per tensor: no step of equalized, absorbed, corrected loses accuracy significantly.", _rises),
        Claim("W8A8 per tensor ends within 0.5 points of FP32.", _ends_near),
        Claim("W8A8 without an image stays within 1 point of FP32.", _data_free_near),
        Claim(f"{MEANS}: half of the channels agree within 0.1 of a standard deviation, 95 % within 0.25.", _agree),
        Claim("Activations at 4 bits: logits by cross-entropy are no worse than logits by MSE.", _logits_no_worse),
        Claim(f"{LOGITS_ALONE}: cross-entropy leaves a lower loss than MSE.", _logits_lower_loss),
    ]
    for bits in BITS:
        for granularity in ("tensor", "channel"):
            claims += _rounding_claims(bits, granularity)
    return tuple(claims)


def _rounding_claims(bits: int, granularity: str) -> list[Claim]:
    table = rounding_table(bits, granularity)
    order = Claim(
        f"{table}: neither bias correction below nearest nor AdaRound below bias correction, significantly.",
        lambda trials, task: _ladder_verdict(trials, table, ROUNDINGS, task),
    )
    gain = Claim(
        f"{table}: AdaRound's gain over nearest is significant where nearest loses more than a point.",
        lambda trials, task: _gain(trials, table, task),
    )
    gap = Claim(
        f"{table}: AdaRound cuts the gap in cross-entropy to FP32 at least fivefold.",
        lambda trials, task: _gap(trials, table, task),
    )
    return [order, gain, *([gap] if bits == 4 else [])]


def _rises(trials: Trials, task: str) -> Verdict:
    return _ladder_verdict(trials, LADDER, LADDER_STEPS, task)


def _ladder_verdict(trials: Trials, table: str, names: tuple[str, ...], task: str) -> Verdict:
    changes = [
        paired(trials.of(table, before, task), trials.of(table, after, task)) for before, after in pairwise(names)
    ]
    said = ", ".join(f"{name} {points(change)}" for name, change in zip(names[1:], changes))
    return Verdict(task, all(change.high >= 0 for change in changes), said)


def _ends_near(trials: Trials, task: str) -> Verdict:
    return _near(trials, LADDER, LADDER_STEPS[-1:], task, 0.005)


def _data_free_near(trials: Trials, task: str) -> Verdict:
    return _near(trials, DATA_FREE, ("data-free-w8a8", "data-free-w8a8-per-tensor"), task, 0.01)


def _near(trials: Trials, table: str, names: tuple[str, ...], task: str, limit: float) -> Verdict:
    fp32 = trials.fp32[task].accuracy.value
    losses = [fp32 - _accuracy(trials, table, name, task) for name in names]
    said = ", ".join(f"{name} {0.0 - 100 * loss:+.2f} points" for name, loss in zip(names, losses))
    return Verdict(task, max(losses) <= limit, said)


def _logits_no_worse(trials: Trials, task: str) -> Verdict:
    change = paired(trials.of(LOGITS, "logits by mse", task), trials.of(LOGITS, "logits by cross-entropy", task))
    return Verdict(task, change.high >= 0, points(change))


def _logits_lower_loss(trials: Trials, task: str) -> Verdict:
    names = ("logits by mse", "logits by cross-entropy")
    by_mse, by_entropy = ([t.judged.loss for t in trials.of(LOGITS_ALONE, name, task)] for name in names)
    change = mean_over_seeds([1000 * (after - before) for before, after in zip(by_mse, by_entropy)])
    said = f"{change.value:+.1f} ({change.low:+.1f} to {change.high:+.1f}) thousandths of a nat"
    return Verdict(task, change.value < 0 if math.isnan(change.half) else change.high < 0, said)


def _gain(trials: Trials, table: str, task: str) -> Verdict:
    nearest, learned = (trials.of(table, name, task) for name in (ROUNDINGS[0], ROUNDINGS[2]))
    change = paired(nearest, learned)
    lost = trials.fp32[task].accuracy.value - _accuracy(trials, table, ROUNDINGS[0], task)
    said = f"nearest {0.0 - 100 * lost:+.2f} points from FP32; AdaRound over nearest {points(change)}"
    return Verdict(task, change.low > 0 if lost > NOISE else None, said)


def _gap(trials: Trials, table: str, task: str) -> Verdict:
    """The claim says nothing where the nearest rounding's gap is below a thousandth of a nat."""
    gaps = [_loss(trials, table, name, task) - trials.fp32[task].loss for name in (ROUNDINGS[0], ROUNDINGS[2])]
    said = f"nearest {1000 * gaps[0]:+.2f}, AdaRound {1000 * gaps[1]:+.2f} thousandths of a nat"
    return Verdict(task, None if gaps[0] < 1e-3 else gaps[1] * 5 <= gaps[0], said)


def _agree(trials: Trials, task: str) -> Verdict:
    half, most = (max(trials.read(MEANS, name, task)) for name in (HALF, MOST))
    return Verdict(task, half <= 0.1 and most <= 0.25, f"at most {half:.3f} and {most:.3f} under any seed")


def points(change: Mean) -> str:
    """A change of accuracy in points with its interval."""
    return f"{100 * change.value:+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f}) points"


def _accuracy(trials: Trials, table: str, name: str, task: str) -> float:
    return mean_over_seeds([t.judged.accuracy.value for t in trials.of(table, name, task)]).value


def _loss(trials: Trials, table: str, name: str, task: str) -> float:
    return mean_over_seeds([t.judged.loss for t in trials.of(table, name, task)]).value
