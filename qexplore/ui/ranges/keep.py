"""Ways to take an override away: link, recipe, command line, notebook cell."""

from __future__ import annotations

import json
import shlex
from typing import Any

import streamlit as st
import yaml

from qexplore.recipes import Recipe
from qexplore.ui.link import link
from qexplore.ui.ranges.choice import HAND, Choice


def keep(choice: Choice) -> None:
    """Draws the fold with the same network in other words."""
    fold = st.expander("Use this range elsewhere", icon=":material/receipt_long:", key="keep-range", on_change="rerun")
    if not fold.open:
        return
    with fold:
        if choice.by == HAND and choice.ends is None:
            st.caption("Move an end of the range first: there is nothing to take away yet.")
            return
        st.caption("In a recipe: the key `sites` holds what is different at single sites.")
        st.code(snippet(choice), language="yaml")
        st.caption("On the command line")
        st.code(command(choice), language="bash", wrap_lines=True)
        st.caption("In a notebook")
        st.code(cell(choice))
        st.caption("The address of this page is the state: who opens it sees this range.")
        link()
        st.caption(
            "These carry the whole recipe out, with activations calibrated on weights at their own bits; this page "
            "changes the bits afterwards. With weights at few bits the two can differ by some images."
            + (f" They measure all images; this page {some:,} of them." if (some := choice.profile.images) else "")
        )


def own(choice: Choice) -> dict[str, Any]:
    """What a recipe sets for the site."""
    return {"bits": choice.bits, **choice.settings(choice.by)}


def changes(choice: Choice) -> dict[str, Any]:
    """Settings on top of the profile's recipe, by dotted key."""
    everywhere = {} if choice.rest is None else {"weights.bits": choice.rest, "activations.bits": choice.rest}
    return everywhere | {f"sites.{choice.site}.{key}": value for key, value in own(choice).items()}


def recipe(choice: Choice) -> Recipe:
    """The profile's recipe with the picked range, bits of all sites as picked."""
    return Recipe.load(choice.profile.recipe).with_settings(changes(choice))


def snippet(choice: Choice) -> str:
    """The part of a recipe in YAML."""
    document: dict[str, Any] = {"sites": {choice.site: own(choice)}}
    if choice.rest is not None:
        sides = {side: {**choice.profile.recipe[side], "bits": choice.rest} for side in ("weights", "activations")}
        document = {**sides, **document}
    text: str = yaml.safe_dump(document, sort_keys=False, default_flow_style=None)
    return text


def command(choice: Choice) -> str:
    """The command line that measures the same network."""
    words = [f"--set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in changes(choice).items()]
    name, task, seed = choice.profile.recipe["name"], choice.profile.task, choice.profile.seed
    return f"python -m qexplore run {name} --task {task} --seed {seed} {' '.join(words)}"


def cell(choice: Choice) -> str:
    """The notebook cell that measures the same network."""
    profile = choice.profile
    return "\n".join(
        [
            "import qexplore as qx",
            "",
            f"recipe = qx.Recipe.load({json.dumps(profile.recipe['name'])}).with_settings({changes(choice)!r})",
            f"result = qx.run(qx.Task({json.dumps(profile.task)}), recipe, seed={profile.seed})",
            "result.accuracy",
        ]
    )
