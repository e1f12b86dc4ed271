"""Ways to take an allocation away: link, notebook cell, command line, files, and a full measurement in the queue."""

from __future__ import annotations

import json

import streamlit as st

from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.budgets.answers import Found, Question
from qexplore.ui.link import link
from qexplore.ui.onward import onward
from qexplore.ui.post_training.choice import word
from qexplore.ui.sentence import toast
from qexplore.ui.snippets import allocate_cell, allocate_command
from qexplore.ui.stored import store
from qexplore.ui.training.recipes import LIMITS


def keep(question: Question, metric: str, found: Found) -> None:
    """Draws the buttons."""
    share = st.popover("Share", icon=":material/share:", key="share", on_change="rerun")
    if share.open:
        with share:
            _share(question, metric, found)
    images = int(question.profile.fp32["images"])
    st.button(
        f"Measure on all {images:,} images" if question.profile.images else "Measure as a run",
        icon=":material/playlist_add:",
        on_click=_queue,
        args=(question.profile, dict(found.answer.bits)),
        help="Measures this allocation on all evaluation images in the background and files it on the Runs page.",
    )


def _share(question: Question, metric: str, found: Found) -> None:
    profile, limits, locked = question.profile, question.budget.limits(), question.locked
    st.caption("The address of this page is the state: who opens it sees this allocation.")
    link()
    st.caption("The same in a notebook: the allocation, and its accuracy")
    recipe = word(Recipe.from_document(profile.recipe))
    st.code(allocate_cell(profile.task, metric, limits, locked, recipe, profile.seed))
    st.caption("The same on the command line")
    lines = allocate_command(profile.task, metric, limits, locked, f"{_name(profile)}.yaml", recipe, profile.seed)
    st.code(lines, language="bash", wrap_lines=True)
    _files(question, found)


def train(question: Question) -> None:
    """The way on to the Training page, with the budget of this one."""
    onward(
        "Here the network stays as it is. QBitOpt gives the bits out anew while it trains the network, always within "
        "the same budget.",
        "training",
        "Train with this budget",
        {"task": question.profile.task, **_budget(question)},
    )


def _budget(question: Question) -> dict[str, str]:
    """The limits as the address of the Training page has them, with the recipe that keeps them."""
    limits = question.budget.limits()
    recipe = "qbitopt-3" if limits.get("weight_bits", 8.0) < 3.5 else "qbitopt-4"
    return {"train": recipe, **{key: f"{limits[name]:.6g}" for key, name in LIMITS.items() if name in limits}}


def document(question: Question, found: Found) -> dict[str, object]:
    """The allocation with its budget and what is known of it, as JSON."""
    answer = found.answer
    return {
        "task": question.profile.task,
        "budget": question.budget.limits(),
        "locked": dict(question.locked),
        "bits": answer.bits,
        "cost": answer.cost,
        "loss": answer.loss,
        "bound": answer.bound,
        "exact": answer.exact,
        "measured": vars(found.measured) if found.measured is not None else None,
    }


def _files(question: Question, found: Found) -> None:
    profile = question.profile
    text = json.dumps(document(question, found), indent=1)
    rows = profile.sites.assign(bits=profile.sites["site"].map(found.answer.bits)).to_csv(index=False)
    name = _name(profile)
    st.caption(f"As a file. {said_of_recipe(profile)}")
    with st.container(horizontal=True):
        _download("Recipe", recipe_of(profile, found).to_yaml(), f"{name}.yaml", "text/yaml")
        _download("JSON", text, f"{name}.json", "application/json")
        _download("CSV", rows, f"{name}.csv", "text/csv")


def said_of_recipe(profile: Profile) -> str:
    """What the shared recipe measures, beside this page."""
    name, refits = profile.recipe["name"], Recipe.from_document(profile.recipe).refits
    if refits:
        return f"The recipe is {name} at these bits. {refits}"
    return (
        f"The recipe prepares the network with {name}, as this page does, and gives each site its bits then: carried "
        f"out, it measures the same{_on_all(profile)}."
    )


def _on_all(profile: Profile) -> str:
    """Where this page measures some of the images: that a run measures all of them."""
    return f", on all {profile.fp32['images']:,} images" if profile.images else ""


def recipe_of(profile: Profile, found: Found) -> Recipe:
    """The allocation as a recipe: carried out, it gives the network that the page measures, where it refits nothing."""
    return Recipe.from_document(profile.recipe).with_bits(found.answer.bits).called(_name(profile))


def _name(profile: Profile) -> str:
    return f"{profile.task}-allocation"


def _download(label: str, text: str, name: str, mime: str) -> None:
    st.download_button(label, text, name, mime, icon=":material/download:", on_click="ignore", key=f"keep-{label}")


@toast()
def _queue(profile: Profile, bits: dict[str, int]) -> None:
    spec = {"kind": "measure", "task": profile.task, "recipe": profile.recipe, "seed": profile.seed, "bits": bits}
    run = store().submit(spec)
    st.toast(f"Run {run} is queued: see the Runs page.", icon=":material/playlist_add_check:")
