"""Claims of training at few bits, and of bits that are allocated in training: whether trials bear them out."""

from __future__ import annotations

import math
from collections.abc import Callable

from qexplore.studies.statistics import Mean, mean_over_seeds, paired, rounding
from qexplore.studies.study import Claim, Verdict
from qexplore.studies.training_budgets import allocations, handed_over, spent
from qexplore.studies.trials import Trial, Trials

BITS = (4, 3, 2)
AVERAGES = (4, 3, 2.5)
SAME = "The same bits everywhere: before and after training"
OPTIONS = "Ways to train, {bits} bits everywhere"
PRUNED = "A pruned network, by a preset with a schedule of its own"
PRESET = "prune30-w8a8"
QBITOPT = "QBitOpt"
ANSWERS = "QBitOpt by the answers"
BASELINES = {
    "allocated once by FIT": "fit",
    "allocated once by the Hessian's trace": "hessian-trace",
    "allocated once at random": "random",
}
ONCE = tuple(BASELINES)[:2]
RANDOM = tuple(BASELINES)[2]
TINY = 1e-9  # what adding up may leave of a difference that is none
WITHIN = {4: 0.007, 3: 0.025}  # of FP32


def at(name: str, bits: int) -> str:
    """Name of what has so many bits everywhere."""
    return f"{name} W{bits}A{bits}"


def mixed(average: float) -> str:
    """Name of the table of mixed precision."""
    return f"{average:g} bits on average of weights and of activations"


def uniform_bits(average: float) -> int:
    """The most bits that all sites can have at once."""
    return math.floor(average)


def uniform(average: float) -> str:
    """Name of the same bits everywhere, as many as the budget has room for."""
    return f"{uniform_bits(average)} bits everywhere (LSQ)"


def most_uniform(average: float) -> str:
    """The same in a sentence; where the budget is no whole number, what it leaves of it."""
    whole = uniform_bits(average) == average
    return uniform(average) + ("" if whole else f", the most that uniform bits can have within {average:g}")


def _claims() -> tuple[Claim, ...]:
    found = [
        Claim(f"{at('QAT', bits)} ends within {100 * limit:.1f} points of FP32.", _near(bits, limit))
        for bits, limit in WITHIN.items()
    ]
    found.append(Claim(f"{at('QAT', 2)} trains: right for most images, and above PTQ, under every seed.", _trains))
    found += [
        Claim(f"{at('QAT', bits)} is strictly more accurate than PTQ at the same bits.", _better(bits)) for bits in BITS
    ]
    for average in AVERAGES:
        found += _mixed_claims(average)
    found.append(Claim(f"{PRESET} is at least as accurate as FP32 with all its weights, within noise.", _as_good))
    return tuple(found)


def _mixed_claims(average: float) -> list[Claim]:
    name = mixed(average)
    same, said = uniform(average), most_uniform(average)
    found = [
        Claim(f"{name}: QBitOpt meets the budget at every allocation, in whole numbers.", _met(average)),
        Claim(f"{name}: QBitOpt is at least as accurate as {said}.", _gain(average, same, accuracy, mean=True)),
        Claim(
            f"{name}: {ANSWERS} is at least as accurate as {said}.",
            _gain(average, same, accuracy, mean=True, mine=ANSWERS),
        ),
    ]
    if average <= 3:
        text = f"{name}: QBitOpt's gain over {said}{',' if said != same else ''} is outside the noise of the seeds, "
        found.append(Claim(f"{text}in accuracy.", _gain(average, same, accuracy)))
        found.append(Claim(f"{text}in cross-entropy.", _gain(average, same, loss)))
    for other in ONCE:
        text = f"{name}: QBitOpt is no worse than bits {other}, within the noise of the seeds, "
        found.append(Claim(f"{text}in accuracy.", _no_worse(average, other, accuracy)))
        found.append(Claim(f"{text}in cross-entropy.", _no_worse(average, other, loss)))
    text = f"{name}: QBitOpt's gain over bits {RANDOM} is outside the noise of the seeds, in cross-entropy."
    found.append(Claim(text, _gain(average, RANDOM, loss)))
    return found


def accuracy(trial: Trial) -> float:
    """In points."""
    return 100 * trial.judged.accuracy.value


def loss(trial: Trial) -> float:
    """In nats, its sign turned, so that more is better."""
    return -trial.judged.loss


Measure = Callable[[Trial], float]
Look = Callable[[Trials, str], Verdict]


def _near(bits: int, limit: float) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        mine = trials.of(SAME, at("QAT", bits), task)
        found = mean_over_seeds([accuracy(t) for t in mine], 100 * rounding(mine[0].images))
        fp32 = 100 * trials.fp32[task].accuracy.value
        return Verdict(task, fp32 - found.value <= 100 * limit, f"{_signed(_minus(found, fp32))} points from FP32")

    return look


def _trains(trials: Trials, task: str) -> Verdict:
    before, after = (trials.of(SAME, at(name, 2), task) for name in ("PTQ", "QAT"))
    shares = [accuracy(t) for t in after]
    least = max(50.0, *(accuracy(t) for t in before))
    return Verdict(task, min(shares) > least, f"PTQ {accuracy(before[0]):.2f} %, QAT {min(shares):.2f} % or more")


def _better(bits: int) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        before, after = (trials.of(SAME, at(name, bits), task) for name in ("PTQ", "QAT"))
        change = paired(before, after)
        return Verdict(task, change.value > TINY, _on_other_images(change))

    return look


def _as_good(trials: Trials, task: str) -> Verdict:
    found = trials.of(PRUNED, PRESET, task)
    change = paired([Trial(PRUNED, "FP32", task, 0, trials.fp32[task], 0.0)], found)
    return Verdict(task, change.high >= 0, _on_other_images(change))


def _met(average: float) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        found = trials.of(mixed(average), QBITOPT, task)
        every = [each for trial in found for each in spent(trial)]
        closest = min((each.cap - each.spent for each in every), default=0)
        count = sum(map(allocations, found))
        ended = sum(map(handed_over, found))
        said = f"{count} allocations in {len(found)} trainings, of which the fullest has {closest} bits left; the bits "
        said += f"at the end looked at in {ended} of them"
        return Verdict(task, bool(every) and all(each.met for each in every), said)

    return look


def _gain(average: float, other: str, measure: Measure, *, mean: bool = False, mine: str = QBITOPT) -> Look:
    """Of `mine`: above 0 with its interval over the seeds, or `mean`: not below 0 on average."""

    def look(trials: Trials, task: str) -> Verdict:
        change = _change(trials, average, mine, other, measure, task)
        holds = change.value >= -TINY if mean else change.low > TINY
        return Verdict(task, holds, _said(change, measure))

    return look


def _no_worse(average: float, other: str, measure: Measure) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        change = _change(trials, average, QBITOPT, other, measure, task)
        return Verdict(task, change.value >= -TINY or change.high >= -TINY, _said(change, measure))

    return look


def _change(trials: Trials, average: float, name: str, other: str, measure: Measure, task: str) -> Mean:
    """The named row less the other one, seed by seed."""
    table = mixed(average)
    mine = {t.seed: measure(t) for t in trials.of(table, name, task)}
    others = {t.seed: measure(t) for t in trials.of(table, other, task)}
    changes = [mine[seed] - others[seed] for seed in sorted(mine.keys() & others.keys())]
    images = min(t.images for t in trials.of(table, name, task))
    least = 100 * math.sqrt(2) * rounding(images) if measure is accuracy else 0.0
    return mean_over_seeds(changes, least)


def _said(change: Mean, measure: Measure) -> str:
    if measure is accuracy:
        return f"{_signed(change)} points"
    turned = Mean(0.0 - 1000 * change.value, 1000 * change.half)
    return f"{_signed(turned)} thousandths of a nat (less is better)"


def _signed(change: Mean) -> str:
    spread = "one seed" if math.isnan(change.half) else f"{_two(change.low)} to {_two(change.high)}"
    return f"{_two(change.value)} ({spread})"


def _two(value: float) -> str:
    """With two digits, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:+.2f}"


def _on_other_images(change: Mean) -> str:
    ends = f"{_two(100 * change.low)} to {_two(100 * change.high)}"
    return f"{_two(100 * change.value)} points ({ends} on other images)"


def _minus(mean: Mean, value: float) -> Mean:
    return Mean(mean.value - value, mean.half)


CLAIMS = _claims()
