"""Numbers as the findings and the report write them."""

from __future__ import annotations


def percent(share: float, digits: int = 0) -> str:
    """A fraction as "12 %"."""
    return f"{100 * share:.{digits}f} %"


def few(number: float) -> str:
    """Three digits of a number, without an exponent where it is large."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def nats(divergence: float) -> str:
    """A divergence to two digits; what float64 rounds is 0."""
    return "0" if abs(divergence) < 1e-9 else f"{divergence:.2g}"


def probability(p: float) -> str:
    """A p-value; what is tiny is told as such."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
