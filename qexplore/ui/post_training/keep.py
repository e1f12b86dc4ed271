"""The recipe as it is switched: a file, command lines, notebook cells and a link."""

from __future__ import annotations

import streamlit as st

from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import escaped
from qexplore.ui.link import link
from qexplore.ui.post_training.choice import Choice, word
from qexplore.ui.snippets import ablate_command, debug_command, recipe_code, run_command, steps_cell


def keep(profile: Profile, choice: Choice) -> None:
    """Draws them, in a fold."""
    fold = st.expander("Use this recipe elsewhere", icon=":material/receipt_long:", key="keep", on_change="rerun")
    if fold.open:
        with fold:
            _ways(profile, choice)


def _ways(profile: Profile, choice: Choice) -> None:
    recipe, task = choice.recipe, profile.task
    said = word(recipe)
    file = f"{recipe.name.replace(' ', '-').replace(',', '')}.yaml"
    text = recipe.to_yaml()
    left, right = st.columns(2, gap="large")
    with left:
        st.caption("As a file")
        st.code(text, language="yaml", wrap_lines=True)
        st.download_button("YAML", text, file, "text/yaml", icon=":material/download:", on_click="ignore", key="yaml")
    with right:
        st.caption("The address of this page is its state: who opens it sees this recipe and its switches.")
        link()
        st.caption("On the command line" + ("" if isinstance(said, str) else f", with {escaped(file)} beside you"))
        name = said if isinstance(said, str) else file
        lines = [make(task, name, 0) for make in (run_command, ablate_command, debug_command)]
        st.code("\n".join(lines), language="bash", wrap_lines=True)
        st.caption("In a notebook: the recipe, what each step buys, and the culprit")
        st.code(steps_cell(task, recipe_code(word(choice.complete), choice.off), 0), wrap_lines=True)
