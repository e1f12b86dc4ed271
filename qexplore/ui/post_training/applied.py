"""A recipe of one's own over the pickers: what it is, and what it reaches against the one it was made of."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qexplore.figures.left_out import pairs
from qexplore.figures.words import interval, percent, points
from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import escaped
from qexplore.ui.post_training import known
from qexplore.ui.post_training.choice import Choice, Own
from qexplore.ui.post_training.offer import waiting
from qexplore.ui.post_training.picker import forget
from qexplore.ui.strip import Card, strip


def applied(profile: Profile, choice: Choice) -> None:
    """Draws the recipe of one's own and its result; nothing where the pickers say it all."""
    own = choice.own
    if own is None:
        return
    with st.container(border=True, key="applied"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/build: {_name(own)}", width="stretch")
            st.button("Back to the picked recipe", icon=":material/undo:", key="back", on_click=forget)
        before, now = accuracy(profile, own.before) if own.before else None, accuracy(profile, own.recipe)
        cards = [_card("before", before)] if own.before else []
        strip([*cards, _card("now", now), *_change(profile, own, before, now)])
        if now is None:
            waiting(profile, own.recipe, "applied")


def _name(own: Own) -> str:
    if own.before and own.label:
        return f"**{escaped(own.before.name)}** with **{escaped(own.label)}** instead of the picked recipe"
    return f"**{escaped(own.recipe.name)}** instead of the picked recipe"


def accuracy(profile: Profile, recipe: Recipe) -> dict[str, float] | None:
    """What is known of a recipe: a run of it, its ablation, or its diagnosis."""
    run = known.measured(profile, recipe)
    if run is not None:
        return dict(run.value)
    table = known.ablation(profile, recipe)
    if table is not None:
        rows = table.value
        return {str(key): value for key, value in rows[rows["complete"]].iloc[0].items()}
    found = known.diagnosis(profile, recipe)
    return None if found is None else next(dict(row) for row in found.value["checks"] if row["name"] == "quantized")


def _card(label: str, row: dict[str, float] | None) -> Card:
    if row is None:
        return Card(label, "not measured yet", waiting=True)
    note = f"{interval(row['low'], row['high'])}, {int(row['images']):,} images"
    return Card(label, percent(row["accuracy"]), note, "measured" if label == "now" else "")


def _change(profile: Profile, own: Own, before: dict[str, float] | None, now: dict[str, float] | None) -> list[Card]:
    if before is None or now is None or int(before["images"]) != int(now["images"]):
        return []  # a difference between other images would be one of images as well
    fix = _repair(profile, own)
    if fix is not None and (fix["before"], fix["accuracy"]["value"]) == (before["accuracy"], now["accuracy"]):
        note = pairs(fix["gained"], fix["lost"], fix["p"], fix["accuracy"].get("metric"))
    else:
        apart = before["high"] < now["low"] or now["high"] < before["low"]
        note = f"the 95 % intervals {'lie apart' if apart else 'overlap'}; not paired image by image"
    return [Card("change", points(now["accuracy"] - before["accuracy"]), note)]


def _repair(profile: Profile, own: Own) -> dict[str, Any] | None:
    """The repair as the diagnosis that proposed it has measured it, with the accuracy before; None where nobody did, or
    where it was not compared image by image.
    """
    found = known.diagnosis(profile, own.before) if own.before else None
    if found is None:
        return None
    before = next(row["accuracy"] for row in found.value["checks"] if row["name"] == "quantized")
    wanted = own.recipe.to_document()
    told = (fix for fix in found.value["fixes"] if Recipe.load(fix["recipe"]).to_document() == wanted)
    return next(({**fix, "before": before} for fix in told if fix.get("p") is not None), None)
