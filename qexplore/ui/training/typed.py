"""Settings that are typed as on the command line, and what the engine says of them."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.recipes import Recipe
from qexplore.recipes.pairs import pairs, words_of
from qexplore.recipes.schema import value_of
from qexplore.runs.warm import WarmDied, WarmSlow
from qexplore.ui.bench import DESK, ask, ended, trouble, warm
from qexplore.ui.desk import desk, session
from qexplore.ui.sentence import sentence

KEY = "set"  # of the field, in the session and in the address
_LABEL = "more settings"
_PATIENCE = 1.0  # seconds that a redraw waits for the engine
_EVERY = 0.5  # seconds between two looks for its answer


def typed(step: str, recipe: Recipe) -> tuple[dict[str, Any], str]:
    """The field: the settings that stand in it, as `with_settings` takes them, or the sentence on what is wrong there.

    step: the one of the recipe that trains, for the example.
    """
    example = f"{step}.distill=0.5 {step}.ema=0.995"
    text = st.text_input(
        _LABEL,
        key=KEY,
        bind="query-params",
        placeholder=example,
        help=f"As after `--set` on the command line, with blanks between: `{example}`. Also noise, batch_norm, "
        "damping, freezing, schedule, warmup and batch; settings of other steps, `weight-ranges.method=min-max`; "
        "of sites, `sites.first.bits=8`.",
    )
    try:
        words = [word for word in words_of(text) if word != "--set"]  # a command line may be pasted
        found = {key: value_of(key, value) for key, value in pairs(words, f"The field {_LABEL!r}").items()}
        recipe.with_settings(found)
    except QexploreError as error:
        return {}, str(error)
    return found, ""


def objection(recipe: Recipe) -> str | None:
    """What the engine, which the app itself does not load, has against a recipe: nothing, or a sentence; None while it
    has not answered yet. A bench that cannot answer objects to nothing: the run says what is wrong.
    """
    request = {"check": recipe.to_document()}
    question = json.dumps(request, sort_keys=True)
    asker = f"{session()} typed"
    warm()  # here, since a desk's thread belongs to no session
    answer = desk(*DESK).ask(asker, question, lambda: ask(request, asker), patience=_PATIENCE)
    if not ended(answer):
        return None
    if isinstance(answer.exception(), WarmDied | WarmSlow | RuntimeError):
        desk(*DESK).forget(question)
        return ""
    return trouble(answer)


def await_objection(recipe: Recipe) -> None:
    """Says that the engine is being asked, and draws the page anew when it has answered."""

    @st.fragment(run_every=_EVERY)
    @sentence()
    def look() -> None:
        st.caption(":material/hourglass_empty: The settings are being checked …")
        if objection(recipe) is not None:
            st.rerun()

    look()
