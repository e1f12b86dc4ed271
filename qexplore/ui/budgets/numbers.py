"""The strip of numbers: predicted, measured, the uniform baseline, and the price of a bit."""

from __future__ import annotations

from typing import Any

import pandas as pd

from qexplore.figures.metrics import scale_of
from qexplore.figures.words import interval, percent, points, seconds, small
from qexplore.metric import named
from qexplore.runs.profiles import METRIC, Profile
from qexplore.ui.bench import Measured
from qexplore.ui.budgets.answers import Found
from qexplore.ui.budgets.picture import SLACK
from qexplore.ui.strip import Card, strip

_SLACK = 1e-6
_SIDES = {"weight_bits": "weight bits", "activation_bits": "activation bits"}


def numbers(found: Found, predicted: float, profile: Profile) -> None:
    """Draws the strip."""
    metric, cost = named(profile.metric), found.answer.cost
    spent = Card("this allocation costs", f"{cost['kb']:.1f} KB", _spent(cost, found.answer.uncounted))
    guess = Card(f"predicted {metric}", percent(predicted), "from stored scores, not measured", "predicted")
    strip([spent, guess, _measured(found, metric), _baseline(found, profile.points), _price(found)])


def _spent(cost: dict[str, float], uncounted: str) -> str:
    gbops = f" · {cost['gbops']:.4f} GBOPs per image" if "gbops" in cost else ""
    bits = f"{cost['weight_bits']:.2f} weight bits · {cost['activation_bits']:.2f} activation bits on average"
    return f"{bits}{gbops}. {uncounted}" if gbops and uncounted else f"{bits}{gbops}"


def _measured(found: Found, metric: str) -> Card:
    label = f"measured {metric}"
    if found.measured is None:
        waiting = "measuring …" if found.pending else "not measured"
        return Card(label, waiting, "on evaluation images", "measured", waiting=True)
    m = found.measured
    how = f"in {seconds(m.seconds)}" if m.seconds is not None else "stored"
    return Card(label, percent(m.value), f"{interval(m.low, m.high)}, {m.images:,} images, {how}", "measured")


def _baseline(found: Found, profile_points: pd.DataFrame) -> Card:
    """The best uniform allocation that costs about as much or less, in weights and in activations."""
    best = dearest(profile_points, found.answer.cost)
    if best is None:
        return Card("uniform bits", "none as small", "W2A2 costs more", "uniform")
    note = f"costs {dearer(best, found.answer.cost)}; {verdict(found.measured, best)}"
    return Card(str(best["label"]), percent(best["accuracy"]), note, "uniform")


def dearest(profile_points: pd.DataFrame, cost: dict[str, float]) -> dict[str, Any] | None:
    """The most accurate measured uniform point that costs at most SLACK bits more on either side, None where there is
    none.
    """
    rows = profile_points[profile_points["label"].str.startswith("uniform")]
    for limit in _SIDES:
        if limit in cost:
            rows = rows[rows[limit] <= cost[limit] + SLACK]
    return None if rows.empty else dict(rows.sort_values(["accuracy", "weight_bits"]).iloc[-1])


def dearer(best: dict[str, Any], cost: dict[str, float]) -> str:
    """What a uniform point costs beyond an allocation: 'no more on either side', '0.02 weight bits more'."""
    beyond = {name: best[limit] - cost[limit] for limit, name in _SIDES.items() if limit in cost}
    told = [f"{more:.2f} {name} more" for name, more in beyond.items() if round(more, 2) > 0]
    return " and ".join(told) or "no more on either side"


def verdict(measured: Measured | None, best: dict[str, Any]) -> str:
    """Says plainly whether mixed bits are worth it here."""
    spread = interval(best["low"], best["high"])
    if measured is None:
        return f"measured, {spread}"
    gain = measured.value - best["accuracy"]
    if gain <= _SLACK:
        return f"mixed is not better here ({points(gain)})"
    clear = measured.low > best["high"]
    return f"mixed: {points(gain)}" + ("" if clear else "; the 95 % intervals overlap, not paired")


def _price(found: Found) -> Card:
    prices = found.answer.prices
    if not prices:
        return Card("price of a bit", "no limit", "nothing is limited")
    names = {"weight_bits": "weight bit", "activation_bits": "activation bit", "kb": "KB", "gbops": "GBOP"}
    said = [f"{small(value)} nats per {names[limit]}" for limit, value in prices.items() if value > 0]
    first = next((limit for limit, value in prices.items() if value > 0), None)
    if first is None:
        return Card("price of a bit", "0", "no limit binds: more would buy nothing")
    per = "bit of their average" if first in ("weight_bits", "activation_bits") else names[first]
    rest = "; ".join([f"slope of the predicted {scale_of(METRIC).name}, per {per}", *said[1:]])
    article = "an" if names[first].startswith("a") else "a"
    return Card(f"price of {article} {names[first]}", f"{small(prices[first])} nats", rest)
