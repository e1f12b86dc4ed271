"""A row of figures in words: each card a number, what it is, and how it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

_MARKS = {
    "predicted": '<path d="M5 0 L10 5 L5 10 L0 5 Z" fill="none" stroke="#CC79A7" stroke-width="1.6"/>',
    "measured": '<path d="M5 0 L10 5 L5 10 L0 5 Z" fill="#CC79A7"/>',
    "uniform": '<path d="M1 1 H9 V9 H1 Z" fill="#D55E00"/>',
}


@dataclass(frozen=True)
class Card:
    """label: what; value: the number; note: how it is known; kind: "predicted", "measured", "uniform" or plain ""."""

    label: str
    value: str
    note: str = ""
    kind: str = ""
    waiting: bool = False


def strip(cards: Sequence[Card]) -> None:
    """Draws the cards side by side; on a phone two stand in a row."""
    st.html(f'<dl class="qx-strip">{"".join(_html(card) for card in cards)}</dl>')


def _html(card: Card) -> str:
    mark = _MARKS.get(card.kind, "")
    if mark:
        mark = f'<svg width="11" height="11" viewBox="-0.5 -0.5 11 11" aria-hidden="true">{mark}</svg>'
    value = f'<dd class="{"waiting" if card.waiting else ""}">{escape(card.value)}</dd>'
    note = f"<small>{escape(card.note)}</small>" if card.note else ""
    return f'<div class="qx-card {card.kind}"><dt>{mark}{escape(card.label)}</dt>{value}{note}</div>'
