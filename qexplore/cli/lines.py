"""Numbers and tables as lines that a person reads in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qexplore.metric import MIOU, named


def accuracy(document: Mapping[str, Any]) -> str:
    """{"value", "low", "high", "images"}, fractions, as "97.4 % (95.6–98.5, 500 images)"; a mean IoU as "97.4 % mean
    IoU (…)".
    """
    low, high = 100 * document["low"], 100 * document["high"]
    what = f" {named(MIOU)}" if document.get("metric") == MIOU else ""
    return f"{100 * document['value']:.1f} %{what} ({low:.1f}–{high:.1f}, {document['images']} images)"


def number(value: object) -> str:
    """A cell of a table: four digits of a fraction, nothing for what is not there."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under their heads; columns of numbers stand flush right."""
    body = [list(row) for row in rows]
    cells = [list(heads), *([number(value) for value in row] for row in body)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    right = [any(isinstance(row[column], int | float) for row in body) for column in range(len(heads))]
    lines = []
    for row in cells:
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
