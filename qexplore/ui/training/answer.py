"""What training recovers: the answer in a sentence, and the accuracies with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.figures import training as drawn
from qexplore.figures.words import epochs_of, interval, percent, points, probability, seconds
from qexplore.metric import MIOU, named
from qexplore.recipes import Recipe
from qexplore.runs.trainings import Training
from qexplore.ui.foreign import escaped
from qexplore.ui.strip import Card, strip
from qexplore.ui.training.known import Known, training_steps
from qexplore.ui.training.recipes import setting

_METHODS = {"qat": "Training at these bits", "qbitopt": "QBitOpt", "prune": "Training while pruning"}
_ENDS = {"paused": "is paused", "cancelled": "was cancelled", "lost": "was lost", "done": "is done"}
_NOISE = 0.0005  # of an accuracy: less is told as 0.0 points
Row = Mapping[str, Any]


def answer(one: Known, training: Training) -> None:
    """Draws the sentence and the cards."""
    st.markdown(" ".join(filter(None, (sentence(one, training), _start_of(training)))))
    strip(cards(one, training))


def sentence(one: Known, training: Training) -> str:
    """The finding in words, or how far the training is."""
    before, after, fp32 = training.before, training.after, training.fp32
    if after is None or before is None or fp32 is None:
        return _under_way(one, training)
    gain, gap = after["accuracy"] - before["accuracy"], fp32["accuracy"] - before["accuracy"]
    method = _METHODS.get(training.main.step if training.main else "", "Training")
    of = f"{named(MIOU)} " if training.metric == MIOU else ""
    course = (
        f"{of}from {percent(before['accuracy'])} to {percent(after['accuracy'])} (FP32 {percent(fp32['accuracy'])})"
    )
    if training.zeros:
        return _pruned(training, before, after, fp32)
    if training.noise:
        told = f"; {probability(training.p)}" if training.p is not None else ""
        nothing = f"**Nothing that {after['images']:,} images could show:** {_lower(method)} leads {course}"
        return f"{nothing}, {points(gain)}{told}."
    if gain < 0:
        return f"**{method} loses {_bare(gain)}:** {course}. A smaller learning rate may help."
    if gap > _NOISE and gain < gap:
        return f"**{method} recovers {_bare(gain)} of the {_bare(gap)} that were lost:** {course}."
    if gap > _NOISE:
        return f"**{method} recovers all of the {_bare(gap)} that were lost:** {course}."
    return f"**{method} gains {_bare(gain)}, though nothing had been lost:** {course}."


def _start_of(training: Training) -> str:
    """What the accuracy before QBitOpt is of, which changes the bits before it trains."""
    if training.after is None or training.main is None or training.main.step != "qbitopt":
        return ""
    first = training.main.beginning
    if first is None:
        return "It starts from the recipe's bits everywhere, so that part of the change is the allocation's."
    images = f"{int(first['images']):,} calibration images"
    if training.metric == MIOU:
        held = f"a mean IoU of {percent(first['accuracy'])} on {images}"
    else:
        held = f"{percent(first['accuracy'])} of {images} right"
    return f"The first allocation alone, before any training, has {held}."


def _pruned(training: Training, before: Row, after: Row, fp32: Row) -> str:
    """For what was pruned the question is what is left of FP32."""
    share = percent(training.zeros or 0.0, 0)
    change = after["accuracy"] - fp32["accuracy"]
    rest = "the same as" if abs(change) < _NOISE else f"{points(change)} from"
    left = f"**{share} of the weights are zero, and {percent(after['accuracy'])} is left:** {rest} the dense network"
    return f"{left} in FP32; before training at these bits {percent(before['accuracy'])}."


def _bare(difference: float) -> str:
    return points(difference).lstrip("+−")


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[0].lower() + text[1:]


def _under_way(one: Known, training: Training) -> str:
    now, latest, recipe = training.now, training.latest, escaped(one.recipe)
    if now is None:
        waiting = {"queued": "waits for its turn", "running": "prepares the network"}.get(one.state)
        return f"**{recipe} {waiting or f'{_ENDS.get(one.state, one.state)} before it trained'}.**"
    state = "trains" if one.active else _ENDS.get(one.state, one.state)
    if latest is None and one.active:
        told = f"{named(training.metric)} is told after each"
        return f"**{recipe} has begun to train:** {epochs_of(now.epochs)}, {told}."
    if latest is None:
        return f"**{recipe} {state} before its first epoch was over.**"
    masks, before = training.metric == MIOU, training.before
    images = f"{int(latest['images']):,} calibration images"
    held = f"mean IoU {percent(latest['accuracy'])} on {images}"
    held = held if masks else f"{percent(latest['accuracy'])} of {images} are right"
    on = "on" if masks else "of"
    start = f", {percent(before['accuracy'])} {on} the evaluation images before training" if before else ""
    behind = f"{latest['epoch']:g} of {_asked(one, training):g} epochs behind it"
    return f"**{recipe} {state}, {behind}:** {held}{start}."


def _asked(one: Known, training: Training) -> int:
    """Epochs of all stages, as far as known also of those that have not begun."""
    try:
        recipe = Recipe.load(one.spec["recipe"])
    except (QexploreError, KeyError):
        return training.epochs
    later = training_steps(recipe)[len(training.stages) :]
    return training.epochs + sum(int(setting(recipe, step, "epochs") or 0) for step in later)


def cards(one: Known, training: Training) -> list[Card]:
    """FP32, before, after, the budget where there is one, and what it took."""
    found = [
        _card("FP32", training.fp32, "not measured yet"),
        _card(_before(training), training.before, "not measured yet"),
        _after(one, training),
        _budget(training),
        _zeros(training),
        _took(one, training),
    ]
    return [card for card in found if card is not None]


def _before(training: Training) -> str:
    pruned = training.main is not None and training.main.step == "prune"
    return "before training" if pruned else "before training (PTQ)"


def _card(label: str, row: Row | None, waiting: str, kind: str = "") -> Card:
    if row is None:
        return Card(label, "…", waiting, kind, waiting=True)
    note = f"{interval(row['low'], row['high'])}, {int(row['images']):,} images"
    return Card(label, percent(row["accuracy"]), note, kind)


def _after(one: Known, training: Training) -> Card:
    if training.after is not None:
        return _card("after training", training.after, "", "measured")
    latest = training.latest
    if latest is None:
        told = "told once an epoch is over" if one.active else "not reached"
        return Card("after training", "…", told, waiting=True)
    between, images = interval(latest["low"], latest["high"]), int(latest["images"])
    note = f"{between}, {images:,} calibration images, epoch {latest['epoch']:g}"
    return Card(f"{named(training.metric)} so far, held out", percent(latest["accuracy"]), note)


def _budget(training: Training) -> Card | None:
    stages = [stage for stage in training.stages if stage.allocations and stage.budget]
    if not stages:
        return None
    stage = stages[-1]
    again = stage.reallocations
    kept = sum(one.kept for one in again)
    cost = stage.allocations[-1].cost
    said = ", ".join(
        f"{cost[limit]:.4g} of {most:g} {drawn.NAMES.get(limit, limit)}"
        for limit, most in stage.budget.items()
        if limit in cost
    )
    return Card("budget met, re-allocations", f"{kept:,} of {len(again):,}", f"at the last {said}")


def _zeros(training: Training) -> Card | None:
    zeros = training.zeros
    return Card("weights that are zero", percent(zeros), "they cost no bits") if zeros else None


def _took(one: Known, training: Training) -> Card | None:
    took = one.seconds
    if took is None or one.active:
        return None
    epochs = f"{epochs_of(_asked(one, training), training.done)}, " if training.epochs else ""
    parts = f"in {one.parts} runs, " if one.parts > 1 else ""
    return Card("the whole run took", seconds(took), f"{epochs}{parts}seed {one.seed}")
