"""The headline and the strip of numbers: what the picked range keeps, and what it does to the network."""

from __future__ import annotations

import streamlit as st

from qexplore.figures.left_out import pairs
from qexplore.figures.words import decibels, interval, percent, points, seconds
from qexplore.metric import MIOU
from qexplore.ui.ranges.answers import Found, Tried
from qexplore.ui.ranges.choice import HAND, Choice
from qexplore.ui.strip import Card, strip


def numbers(choice: Choice, found: Found) -> None:
    """Draws the strip."""
    cards = [_error(choice), _measured(choice, found, choice.stored, f"stored range, {choice.stored}")]
    if choice.by != choice.stored:
        cards.append(_measured(choice, found, choice.by, f"your range, {choice.by}"))
    strip([*cards, _change(choice, found)])


def headline(choice: Choice, found: Found) -> None:
    """One sentence: how far the ranges of this site are apart."""
    row = choice.row
    st.markdown(f"{_where(choice)} {_apart(choice, found)} :gray[{row['kind']} · {row['op']} · {row['shape']}]")


def _where(choice: Choice) -> str:
    rest = f"at those of {choice.profile.recipe['name']}" if choice.rest is None else f"at {choice.rest} bits"
    return f"**Site {choice.row['index']}, `{choice.site}`, at {choice.bits} bits**, all others {rest}:"


def _apart(choice: Choice, found: Found) -> str:
    tried = found.tried
    if len(tried) < 2:
        return "measuring …" if found.pending else "not measured."
    best = max(tried, key=lambda by: tried[by].measured.value)
    worst = min(tried, key=lambda by: tried[by].measured.value)
    top, low = tried[best].measured, tried[worst].measured
    masks = top.metric == MIOU
    said, of = ("mean IoU", "") if masks else ("right on", " of the images")
    if top.value == low.value:
        return f"{said} {percent(top.value)}{of} with any range."
    if top.low <= low.high:
        return f"{said} {percent(low.value)} to {percent(top.value)}{of} with any range; intervals overlap."
    also = "" if masks else "on "
    return f"{said} {percent(top.value)}{of} with **{best}**, {also}{percent(low.value)} with **{worst}**."


def _error(choice: Choice) -> Card:
    rows = choice.shown.set_index("method")["sqnr_db"]
    best = str(rows.drop(index=choice.by, errors="ignore").idxmax())
    if choice.by not in rows:
        return Card("SQNR, by hand", "–", f"of this site; {best} {decibels(rows[best])}")
    return Card(f"SQNR, {choice.by}", decibels(rows[choice.by]), f"of this site; {best} {decibels(rows[best])}")


def _measured(choice: Choice, found: Found, by: str, label: str) -> Card:
    tried = found.tried.get(by)
    if tried is None:
        said = "measuring …" if found.pending else "not measured"
        untouched = by == HAND and choice.ends is None
        note = "move an end of the range below" if untouched else "on evaluation images"
        return Card(label, said, note, "measured", waiting=True)
    m = tried.measured
    how = f"in {seconds(m.seconds)}" if m.seconds is not None else "stored"
    return Card(label, percent(m.value), f"{interval(m.low, m.high)}, {m.images:,} images, {how}", "measured")


def _change(choice: Choice, found: Found) -> Card:
    label = f"{choice.by} instead of {choice.stored}"
    tried = found.tried.get(choice.by)
    if choice.by == choice.stored:
        return Card("difference", "none", "this is the stored range: pick another one", "")
    if tried is None:
        return Card(label, "measuring …" if found.pending else "–", "paired, image by image", waiting=True)
    return Card(label, points(tried.change), verdict(tried))


def verdict(tried: Tried) -> str:
    """Whether the difference could be chance."""
    return pairs(tried.gained, tried.lost, tried.p, tried.measured.metric)
