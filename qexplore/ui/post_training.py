"""The parts of the Post-training page: choose recipes, compare them step by step, run them on this machine."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
import yaml

from qexplore import figures
from qexplore.figures.words import measured, points
from qexplore.recipes import Recipe, presets
from qexplore.runs import Run
from qexplore.runs.profiles import Profile
from qexplore.ui.draw import figure
from qexplore.ui.snippets import run_cell, run_command
from qexplore.ui.stored import store
from qexplore.ui.work.watch import active, ask, watch

_START = ["w8a8", "w8a8-per-tensor", "w8a8-per-tensor-equalized"]
_FLAT = 0.01  # a spread of final accuracies below which the recipes cannot be told apart


def choose() -> list[str]:
    """The presets to compare; they live in the address."""
    names = list(presets())
    start = [name for name in _START if name in names]
    chosen = st.pills("recipes", names, selection_mode="multi", default=start, key="recipes", bind="query-params")
    return list(chosen)


def spec_of(profile: Profile, preset: str) -> dict[str, Any]:
    """The run that carries a preset out."""
    return {"kind": "recipe", "task": profile.task, "recipe": preset, "seed": 0}


def steps_of(profile: Profile, preset: str) -> tuple[pd.DataFrame, Run | None]:
    """Accuracy after each step: of the newest run here, else as stored with the profile; empty where neither exists."""
    run = store().find(spec_of(profile, preset))
    if run is not None:
        rows = pd.read_parquet(store().folder(run.id) / "steps.parquet")
        return rows.rename(columns={"name": "step"}).assign(recipe=preset), run
    return profile.steps[profile.steps["recipe"] == preset], None


def compare(profile: Profile, chosen: list[str]) -> None:
    """The waterfall of the chosen presets, and where its numbers come from."""
    if not chosen:
        st.info("Choose at least one recipe above.", icon=":material/touch_app:")
        return
    found = {preset: steps_of(profile, preset) for preset in chosen}
    parts = [rows for rows, _ in found.values() if len(rows)]
    if not parts:
        st.info("None of these has been run on this task: start one below.", icon=":material/play_circle:")
        return
    steps = pd.concat(parts, ignore_index=True)
    figure(figures.waterfall(steps, fp32=float(profile.fp32["value"])))
    _ends(profile, steps)
    st.caption(
        " ".join(dict.fromkeys(_source(profile, preset, run) for preset, (rows, run) in found.items() if len(rows)))
    )


def _ends(profile: Profile, steps: pd.DataFrame) -> None:
    ends = steps.groupby("recipe", sort=False).tail(1)
    for end in ends.to_dict("records"):
        said = measured(end["accuracy"], end["low"], end["high"], int(end["images"]))
        change = points(end["accuracy"] - float(profile.fp32["value"]))
        st.markdown(f"- **{end['recipe']}** ends at {said}, {change} from FP32.")
    classroom = "mobilenet-digits-unbalanced"
    if profile.task != classroom and ends["accuracy"].max() - ends["accuracy"].min() < _FLAT:
        left, right = st.columns([3, 1.3], vertical_alignment="center")
        left.info(
            "This network forgives 8 bits however it is done. Its unbalanced twin does not.", icon=":material/science:"
        )
        right.page_link(
            "pages/post_training.py",
            label="See the twin",
            icon=":material/arrow_forward:",
            query_params={"task": classroom},
        )


def _source(profile: Profile, preset: str, run: Run | None) -> str:
    if run is not None:
        return f"{preset} was run on this machine ({run.id})."
    made = f"{profile.header['created'][:10]}, torch {profile.header['torch']}"
    return f"What has not been run here came with qexplore (measured {made}, `{profile.header['command']}`)."


def run(profile: Profile, chosen: list[str]) -> None:
    """Buttons that queue the chosen presets, their progress, and the same in words."""
    specs = [spec_of(profile, preset) for preset in chosen]
    busy = [run.spec for run in active(specs)]
    with st.container(horizontal=True):
        for preset, spec in zip(chosen, specs, strict=True):
            label = f"Run {preset} here"
            icon = ":material/play_arrow:"
            st.button(label, icon=icon, key=f"run-{preset}", disabled=spec in busy, on_click=ask, args=(spec,))
    watch(specs, key="post-training")
    if chosen:
        _recipes(profile, chosen)


def _recipes(profile: Profile, chosen: list[str]) -> None:
    with st.expander("The recipes as files, notebook cells and command lines", icon=":material/receipt_long:"):
        for tab, preset in zip(st.tabs(chosen), chosen, strict=True):
            with tab:
                st.code(yaml.safe_dump(Recipe.load(preset).to_document(), sort_keys=False), language="yaml")
                st.code(run_cell(profile.task, preset, 0))
                st.code(run_command(profile.task, preset, 0), language="bash", wrap_lines=True)
