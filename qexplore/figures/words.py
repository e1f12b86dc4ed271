"""Numbers and names as the pages print them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

SQNR = (
    "SQNR compares the power of the values with that of their error: 6 dB more is half the error, a quarter of its "
    "square, about one bit."
)
"""What the ratio says, for whoever meets it first."""

_POWER = "floor(log(datum.value) / LN10 + 1e-9)"
_MANTISSA = f"datum.value / pow(10, {_POWER})"
_SUPERSCRIPT = f"(-({_POWER}) > 9 ? '¹' : '') + ['⁰','¹','²','³','⁴','⁵','⁶','⁷','⁸','⁹'][-({_POWER}) % 10]"
POWERS = (
    "datum.value >= 0.001 || datum.value <= 0 ? format(datum.value, '~g') : "
    f"({_MANTISSA} < 1.0001 ? '' : format({_MANTISSA}, '.2~g') + ' × ') + '10⁻' + {_SUPERSCRIPT}"
)
"""For Vega: the label of a tick between 1e-19 and any size, '0.01' or '10⁻⁴'."""


def percent(value: float, digits: int = 1) -> str:
    """0.9821 → '98.2 %'."""
    return f"{100 * value:.{digits}f} %"


def interval(low: float, high: float) -> str:
    """(0.969, 0.991) → '96.9–99.1 %'."""
    return f"{100 * low:.1f}–{100 * high:.1f} %"


def measured(value: float, low: float, high: float, images: int) -> str:
    """An accuracy with its 95 % interval and its number of images."""
    return f"{percent(value)} ({interval(low, high)}, {images:,} images)"


def metric_of(table: pd.DataFrame) -> str:
    """What the column accuracy of a table holds: "miou" where its column metric says so, else "accuracy"."""
    return str(table["metric"].iloc[0]) if "metric" in table else "accuracy"


def points(difference: float) -> str:
    """A difference of accuracies in points, with its sign: −0.013 → '−1.3 points'."""
    text = f"{100 * difference:+.1f}".replace("-", "−")
    return f"{'0.0' if text in ('+0.0', '−0.0') else text} points"


def shorten(name: str, most: int = 28) -> str:
    """A long name with its middle left out, both ends readable."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[len(name) - (most - 1 - head) :]}"


def small(value: float) -> str:
    """A quantity of any size in three digits: 0.00042 → '0.00042', 4.2e-7 → '4.2 × 10⁻⁷'."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    text = f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}"
    mantissa, mark, power = text.partition("e")
    if not mark:
        return text.replace("-", "−")
    ten = f"10{str(int(power)).translate(_RAISED)}"
    return ten if mantissa == "1" else f"{mantissa} × {ten}".replace("-", "−")


def probability(p: float) -> str:
    """A p-value: 'p = 0.018'; what is tiny is 'p < 0.001'."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def decibels(value: float) -> str:
    """A ratio of powers: 8.692 → '8.7 dB'; one without any noise is 'exact'."""
    return "exact" if math.isinf(value) and value > 0 else f"{value:.1f} dB".replace("-", "−")


def seconds(value: float) -> str:
    """A duration in the unit that suits it: '0.8 ms', '0.42 s', '3 min 05 s'."""
    if value < 0.0995:
        return f"{1000 * value:.1f} ms" if value < 0.00995 else f"{1000 * value:.0f} ms"
    if value < 99.5:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def roughly(value: float) -> str:
    """A duration that was estimated: 'about 20 s', 'about 2 min', 'about 3 h'."""
    if value < 55:
        return f"about {10 * max(1, round(value / 10))} s"
    return f"about {max(1, round(value / 60))} min" if value < 5700 else f"about {value / 3600:.2g} h"


def epochs_of(number: int, done: int | None = None) -> str:
    """'1 epoch', '15 epochs'; '4 of 15 epochs' where fewer are done."""
    behind = f"{done:,} of " if done is not None and done < number else ""
    return f"{behind}{number:,} epoch" if number == 1 else f"{behind}{number:,} epochs"


def listed(names: list[str], most: int = 3) -> str:
    """'a, b, c and 2 more'."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
