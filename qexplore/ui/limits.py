"""The limits of a budget as widgets: what they reach, and what is said where a link asks for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qexplore.allocate.budget import LIMITS
from qexplore.ui import instead

LEAST, MOST = 2.0, 8.0  # average bits on the sliders
SMALLEST = {"kb": 0.001, "gbops": 0.00001}
_NAMES = {"w": "weight_bits", "a": "activation_bits", "kb": "kb", "gbops": "gbops"}


def ask_limits(prefix: str = "") -> None:
    """Before the widgets are drawn: notes which limits of the address they cannot have.

    prefix: of the limits' names in the address of this page.
    """
    for key in _NAMES:
        fits = instead.between(SMALLEST[key]) if key in SMALLEST else instead.between(LEAST, MOST)
        instead.asked(prefix + key, fits)


def tell_limits(shown: Mapping[str, float | None], prefix: str = "") -> None:
    """After the widgets: a sentence for each limit that a link asked for and they cannot have. shown: what they do."""
    for key, limit in _NAMES.items():
        value = shown[prefix + key]
        reach = f"begin at {SMALLEST[key]:g}" if key in SMALLEST else f"go from {LEAST:g} to {MOST:g}"
        now = "no limit is set" if value is None else f"{value:g} is set"
        instead.tell(prefix + key, value, _sentence(f"{LIMITS[limit]}, which {reach}; {now}"))


def _sentence(rest: str) -> Callable[[str], str]:
    return lambda text: f"The link asks for {text} {rest}."
