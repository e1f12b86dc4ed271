"""Asking for a training: a recipe, a few settings, and the button."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qexplore.recipes import Recipe
from qexplore.runs.feasible import refusal
from qexplore.runs.profiles import Profile
from qexplore.ui import instead
from qexplore.ui.absent import how_to_get
from qexplore.ui.foreign import escaped
from qexplore.ui.limits import LEAST, MOST, SMALLEST, ask_limits, tell_limits
from qexplore.ui.sentence import toast
from qexplore.ui.snippets import train_cell, train_command
from qexplore.ui.stored import store
from qexplore.ui.training.known import training_presets, training_steps
from qexplore.ui.training.pace import pace
from qexplore.ui.training.recipes import LIMITS, Choice, budget_of, main_step, setting
from qexplore.ui.training.typed import KEY, await_objection, objection, typed
from qexplore.ui.work.watch import active

_FIRST = "qat-w3a3"
_WIDTHS = (2, 3, 4, 5, 6, 8)
_GRADIENTS = ("training", "answers")  # qexplore.qat.qbitopt.GRADIENTS, which would load torch
_CHECKED = "The settings are being checked."
_ABOUT = """**qat**, quantization-aware training: weights, ranges and rounding learn together at fixed bits.
With **ends-8** the input, the logits, the first and the last weights have 8 bits; with **macs** also the activations
that no quantized layer multiplies, mostly terms of sums.

**qbitopt**: the same, and every few steps the bits are given out anew under a hard budget.

**prune30**: weights are set to zero while the real network trains; then it is quantized and trained on."""


def start(profile: Profile) -> None:
    """Draws the pickers and the button that queues the run; a budget that cannot be met is refused here already."""
    presets = training_presets()
    if not presets:
        st.info("This installation has no recipe that trains.", icon=":material/info:")
        return
    with st.container(border=True, key="start"):
        pick, settings, more, button = st.columns([2, 5, 1.1, 1.5], vertical_alignment="bottom")
        with pick:
            name = _recipe(presets)
        recipe = presets[name]
        with settings:
            changes = _settings(name, recipe)
        with more, st.popover("settings", icon=":material/tune:", width="stretch"):
            others, seed = _more(name, recipe)
            own, wrong = typed(main_step(recipe), recipe)
            choice = Choice(name, seed, {**changes, **others, **own})
            verdict = wrong or (objection(choice.recipe) if own else "")
            if verdict:  # also here, since the popover hides what stands below the form
                st.markdown(f":small[:red[{escaped(verdict)}]]")
            _words(profile.task, choice)
        refused = refusal(profile, choice.recipe) if verdict == "" else verdict
        with button:
            _button(profile.task, choice, _CHECKED if refused is None else escaped(refused))
        with st.container():  # always there: an element that comes and goes would make its neighbours anew
            if refused is None:
                await_objection(choice.recipe)
            elif refused:
                st.error(escaped(refused), icon=":material/block:")
            elif told := pace(profile.task, choice.recipe):
                st.caption(escaped(told))


def _recipe(presets: dict[str, Recipe]) -> str:
    names = list(presets)
    first = names.index(_FIRST) if _FIRST in names else 0
    instead.asked("train", lambda text: text in names)
    chosen = str(
        st.selectbox(
            "train", names, index=first, key="train", bind="query-params", on_change=_own_settings, help=_ABOUT
        )
    )
    instead.tell("train", chosen, lambda text: f"There is no recipe {text} that trains; this is {chosen}.")
    return chosen


def _own_settings() -> None:
    """Another recipe comes with its own budget, and with other steps than those that settings were typed for."""
    st.session_state[KEY] = ""
    own = budget_of(training_presets()[st.session_state["train"]])
    for key in LIMITS:
        if key in own:
            st.session_state[key] = own[key]
        else:
            st.session_state.pop(key, None)


def _budget(recipe: Recipe) -> dict[str, Any]:
    """Average bits; kilobytes and bit operations stand beside them where the address or the recipe sets them."""
    own, step = budget_of(recipe), main_step(recipe)
    chosen: dict[str, float | None] = {}
    ask_limits("q")
    weights, activations, more = st.columns([3, 3, 2], vertical_alignment="bottom")
    with weights:
        chosen["qw"] = _slider("average weight bits", "qw", own)
    with activations:
        chosen["qa"] = _slider("average activation bits", "qa", own)
    with more, st.popover("more limits", icon=":material/add:", width="stretch"):
        chosen["qkb"] = _limit("KB of weights", "qkb", own)
        chosen["qgbops"] = _limit("GBOPs per image", "qgbops", own)
    tell_limits(chosen, "q")
    return {f"{step}.{LIMITS[key]}": value or 0.0 for key, value in chosen.items() if value != own.get(key)}


def _slider(label: str, key: str, own: dict[str, float]) -> float:
    first = own.get(key, 8.0)
    value = st.slider(
        label, LEAST, MOST, first, 0.1, format="%.1f", key=key, bind="query-params", help="8 is no limit."
    )
    return round(float(value), 2)


def _limit(label: str, key: str, own: dict[str, float]) -> float | None:
    value = st.number_input(
        label,
        SMALLEST[key[1:]],
        value=own.get(key),
        format="%.5g",
        key=key,
        bind="query-params",
        placeholder="no limit",
    )
    return None if value is None else float(value)


def _settings(name: str, recipe: Recipe) -> dict[str, Any]:
    """What the recipe is about: its budget, the share that is pruned, or the bits."""
    if main_step(recipe) == "qbitopt":
        return _budget(recipe)
    if "prune" in training_steps(recipe):
        return _sparsity(name, recipe)
    return _bits(name, recipe)


def _sparsity(name: str, recipe: Recipe) -> dict[str, Any]:
    own = float(setting(recipe, "prune", "sparsity") or 0.5)
    share = st.slider(
        "share of the weights that is pruned",
        5,
        95,
        round(100 * own),
        5,
        format="%d %%",
        key=f"sparsity-{name}",
        help=recipe.title,
    )
    return {} if share == round(100 * own) else {"prune.sparsity": share / 100}


def _bits(name: str, recipe: Recipe) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for column, side in zip(st.columns(2), ("weights", "activations"), strict=True):
        own = int(getattr(recipe, side).get("bits", 8))
        widths = sorted({*_WIDTHS, own})
        with column:
            bits = st.segmented_control(f"bits of {side}", widths, default=own, required=True, key=f"{side}-{name}")
        if bits is not None and int(bits) != own:
            chosen[f"{side}.bits"] = int(bits)
    return chosen


def _more(name: str, recipe: Recipe) -> tuple[dict[str, Any], int]:
    """Epochs, learning rate and seed; what is left empty is the recipe's own, or the step's."""
    step = main_step(recipe)
    epochs, rate = setting(recipe, step, "epochs"), setting(recipe, step, "rate")
    more: dict[str, Any] = {}
    asked = st.number_input(
        "epochs",
        1,
        1000,
        value=epochs,
        step=1,
        key=f"epochs-{name}",
        placeholder="the step's own",
        help=f"Of each {step}.",
    )
    if asked is not None and asked != epochs:
        more[f"{step}.epochs"] = int(asked)
    speed = st.number_input(
        "learning rate", 1e-6, 10.0, value=rate, format="%.3g", key=f"rate-{name}", placeholder="the step's own"
    )
    if speed is not None and speed != rate:
        more[f"{step}.rate"] = float(speed)
    if step == "qbitopt":
        more |= _gradients(name, recipe)
    return more, int(st.number_input("seed", 0, 10**6, value=0, step=1, key="training-seed"))


def _gradients(name: str, recipe: Recipe) -> dict[str, Any]:
    """By which gradients bits are given out."""
    own = str(setting(recipe, "qbitopt", "gradients") or _GRADIENTS[0])
    help_ = (
        "**training**: those of the loss that is trained. **answers**: those of what the network "
        "itself says, as the metric fisher has it."
    )
    asked = st.segmented_control(
        "bits by the gradients of", _GRADIENTS, default=own, required=True, key=f"gradients-{name}", help=help_
    )
    return {} if asked in (None, own) else {"qbitopt.gradients": asked}


def _words(task: str, choice: Choice) -> None:
    st.caption("The same on the command line, and in a notebook")
    st.code(train_command(task, choice.preset, choice.changes, choice.seed), language="bash", wrap_lines=True)
    st.code(train_cell(task, choice.preset, choice.changes, choice.seed), wrap_lines=True)


def _button(task: str, choice: Choice, refused: str) -> None:
    spec, hindrance = choice.spec(task), refused or how_to_get(task)
    st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        key="start-training",
        width="stretch",
        disabled=bool(hindrance) or bool(active([spec])),
        help=hindrance or None,
        on_click=queue,
        args=(spec,),
    )


@toast()
def queue(spec: dict[str, Any]) -> None:
    """Queues a training and shows it."""
    show(store().submit(spec))


def show(name: str) -> None:
    """The training of this name is the one that the page shows; a moment or a comparison of before is forgotten."""
    st.query_params["run"] = name
    st.query_params.pop("at", None)
