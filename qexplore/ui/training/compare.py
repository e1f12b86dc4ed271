"""Up to four trainings of a task beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from qexplore.errors import QexploreError
from qexplore.figures import training as drawn
from qexplore.figures.words import interval, measured, percent, seconds
from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.runs.trainings import Training
from qexplore.ui.draw import figure
from qexplore.ui.foreign import code
from qexplore.ui.training.known import Known, known, training_of

MOST = len(drawn.LETTERS)


def compare(profile: Profile, one: Known, training: Training) -> None:
    """A picker, both curves of each, and a table. The address names them in `runs`."""
    found = {each.id: each for each in known(profile.task)}
    chosen = [found[name] for name in _picked(found, one)]
    pairs = [(each, training_of(each)) for each in chosen]
    told = [(each, made) for each, made in pairs if len(made.marks)]
    if not told:
        st.info("None of these has finished an epoch yet.", icon=":material/hourglass_empty:")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        curves = [(_name(each, found), made.marks) for each, made in told]
        figure(drawn.overlay(curves, "accuracy", profile.metric).grown())
    with right:
        figure(drawn.overlay([(_name(each, found), made.marks) for each, made in told], "held_out_loss").grown())
    st.dataframe(
        table(told),
        hide_index=True,
        column_config={
            "before": st.column_config.TextColumn("before training, evaluation images", width="medium"),
            "accuracy": st.column_config.TextColumn("after training, evaluation images", width="medium"),
        },
        alt=f"{len(told)} trainings with their accuracies.",
    )


def _picked(found: dict[str, Known], one: Known) -> list[str]:
    named = [name for name in str(st.query_params.get("runs", "")).split(",") if name]
    gone, named = [name for name in named if name not in found], [name for name in named if name in found][:MOST]
    if gone:
        st.caption(f":material/link_off: {_gone(gone)}")
    st.session_state["training-runs"] = named or [one.id]

    def keep() -> None:
        st.query_params["runs"] = ",".join(st.session_state["training-runs"])

    chosen = st.multiselect(
        f"trainings, at most {MOST}",
        list(found),
        key="training-runs",
        format_func=lambda name: found[name].label,
        max_selections=MOST,
        on_change=keep,
        placeholder="pick trainings of this task",
    )
    return [str(name) for name in chosen] or [one.id]


def _gone(names: list[str]) -> str:
    listed = ", ".join(code(name) for name in names[:MOST])
    return f"The link asks for {listed} too, no training of this task; compared is what stands here."


def _name(one: Known, found: dict[str, Known]) -> str:
    """The recipe; where several trainings have the same, with the run, or that it is the recorded one."""
    same = sum(each.recipe == one.recipe for each in found.values()) > 1
    return f"{one.recipe} · {one.id if one.run else 'recorded'}" if same else one.recipe


def table(told: list[tuple[Known, Training]]) -> pd.DataFrame:
    """A row a training: letter, recipe, bits or budget, seed, before, accuracy, seconds."""
    return pd.DataFrame(
        [
            {
                "": letter,
                "recipe": one.recipe,
                "bits or budget": spent(one, training),
                "seed": one.seed,
                "before": _measured(training.before) if training.before else "",
                "accuracy": _accuracy(training),
                "took": seconds(one.seconds) if one.seconds is not None else "",
                "run": one.id,
            }
            for letter, (one, training) in zip(drawn.LETTERS, told, strict=False)
        ]
    )


def _accuracy(training: Training) -> str:
    after, latest = training.after, training.latest
    if after is not None:
        return _measured(after)
    if latest is None:
        return ""
    between = interval(latest["low"], latest["high"])
    return f"{percent(latest['accuracy'])} ({between}, {int(latest['images']):,} calibration images so far)"


def _measured(row: Mapping[str, Any]) -> str:
    """An accuracy on the evaluation images, as a step tells it."""
    return measured(row["accuracy"], row["low"], row["high"], int(row["images"]))


def spent(one: Known, training: Training) -> str:
    """'3 / 4 bits' of weights and activations, or the budget."""
    budgets = [stage.budget for stage in training.stages if stage.budget]
    if budgets:
        return ", ".join(f"{most:g} {drawn.NAMES.get(limit, limit)}" for limit, most in budgets[-1].items())
    asked: Any = one.spec.get("recipe")
    try:
        recipe = Recipe.load(asked)
    except (QexploreError, TypeError):
        return ""
    return f"{recipe.weights.get('bits', 8)} weight bits, {recipe.activations.get('bits', 8)} activation bits"
