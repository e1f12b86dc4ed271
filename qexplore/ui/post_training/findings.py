"""What debugging has found: each cause in words, and the repairs, one button each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from qexplore.figures.left_out import chance
from qexplore.figures.words import listed, measured, points, seconds, small
from qexplore.recipes import Recipe
from qexplore.runs.profiles import Profile
from qexplore.ui.post_training import known
from qexplore.ui.post_training.choice import Choice, Own
from qexplore.ui.post_training.picker import apply
from qexplore.ui.sentence import toast
from qexplore.ui.work.watch import active, ask, watch

CAUSES = {
    "too-few-bits": "Fewer bits than the others",
    "clipped-range": "A range that clips",
    "wide-range": "A range that is too wide",
    "outlier-values": "A few large values set the range",
    "outlier-channel": "One channel far wider than the others",
    "unbalanced-channels": "Unbalanced channels share a grid",
    "biased-error": "Rounding errors that lean one way",
    "sensitive-site": "Too sensitive for its bits",
    "network-changed": "A step changed the network itself",
    "unlike-images": "Calibration images unlike those in use",
    "bits-everywhere": "Too coarse everywhere",
}
Document = Mapping[str, Any]


def findings(document: Document) -> None:
    """Draws the causes, each with the site that it harms most and the others in a line."""
    groups: dict[str, list[Document]] = {}
    for finding in document["findings"]:
        groups.setdefault(finding["cause"], []).append(finding)
    for cause, found in groups.items():
        st.markdown(f"**{CAUSES.get(cause, cause)}** {_text(found)}")
    if document["unexplained"]:
        st.caption(
            f"Without a cause that shows: {listed(list(document['unexplained']))}. More bits there, or training."
        )


def _text(found: Sequence[Document]) -> str:
    first = found[0]
    at = f":gray[at `{first['site']}`, {small(first['divergence'])} nats.] " if first["site"] else ""
    others = [finding["site"] for finding in found[1:] if finding["site"]]
    more = f" The same at {len(others)} more: {listed(others, 2)}." if others else ""
    return f"{at}{first['text']}{more}"


def fixes(profile: Profile, choice: Choice, subject: Recipe, document: Document) -> None:
    """Draws the repairs, the best first; one that is applied becomes the recipe of the page and is run."""
    if not document["fixes"]:
        return
    before = next(row for row in document["checks"] if row["name"] == "quantized")
    if len(document["fixes"]) > 1:
        st.caption(
            "Ordered by how far the answers still lie from FP32's (least divergence first; where next to nothing is "
            "left, by accuracy). The points are of accuracy, which few images decide; the best of several is picked on "
            "the same evaluation images, which flatters it a little."
        )
    for place, fix in enumerate(document["fixes"]):
        _fix(profile, choice, subject, fix, before, place)
    watch([known.spec_of("recipe", profile, Recipe.load(fix["recipe"])) for fix in document["fixes"]], key="fixes")


def _fix(profile: Profile, choice: Choice, subject: Recipe, fix: Document, before: Document, place: int) -> None:
    made = Recipe.load(fix["recipe"])
    on = choice.own is not None and choice.own.recipe.to_document() == made.to_document()
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"fix-{place}"):
        st.markdown(f"**{fix['label']}**  \n{worth(profile, made, fix, before)}", width="stretch")
        st.button(
            "Applied" if on else "Apply",
            key=f"apply-{place}",
            icon=":material/check:" if on else ":material/build:",
            disabled=on,
            on_click=_apply,
            args=(profile, Own(made, fix["label"], subject)),
        )


def worth(profile: Profile, made: Recipe, fix: Document, before: Document) -> str:
    """What a repair reaches: measured here, or with the diagnosis; or that nobody knows yet."""
    run = known.measured(profile, made)
    row = (
        run.value if run is not None else fix["accuracy"] and {**fix["accuracy"], "accuracy": fix["accuracy"]["value"]}
    )
    if not row:
        return "not measured yet"
    own = int(row["images"])
    paired = own == int(before["images"])  # else the difference would be one of images as well
    same = fix.get("p") is not None and row["accuracy"] == fix["accuracy"]["value"]
    told = f" ({chance(fix['p'])})" if same else ""
    change = f"{points(row['accuracy'] - before['accuracy'])}{told}: " if paired else ""
    took = f", {seconds(float(fix['seconds']))}" if fix["seconds"] is not None else ""
    return f"{change}{measured(row['accuracy'], row['low'], row['high'], own)}{took}"


@toast()
def _apply(profile: Profile, own: Own) -> None:
    apply(own)
    spec = known.spec_of("recipe", profile, own.recipe)
    if known.measured(profile, own.recipe) is None and not active([spec]):
        ask(spec)
