"""What each step buys: the answer in a sentence, the waterfall, what leaving one out costs, and which side costs."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from qexplore import figures
from qexplore.figures.left_out import SIGNIFICANT, judgement
from qexplore.figures.words import interval, percent, points, seconds
from qexplore.runs.profiles import Profile
from qexplore.ui.draw import figure
from qexplore.ui.post_training import known
from qexplore.ui.post_training.choice import Choice
from qexplore.ui.post_training.known import Known
from qexplore.ui.post_training.switches import ABOUT
from qexplore.ui.strip import Card, strip

_MUCH = 0.02  # gain of accuracy from which on a step that can be spared is worth a word
BALANCED, TWIN = "mobilenet-digits", "mobilenet-digits-unbalanced"


def steps(profile: Profile, choice: Choice, found: Known) -> None:
    """Everything that the ablation of the recipe tells."""
    table: pd.DataFrame = found.value
    st.markdown(answer(table))
    now = known.variant(profile, choice, table) if choice.off else None
    left, right = st.columns([1.7, 1], gap="large")
    with left:
        st.markdown("**One step after another** :gray[:small[what each adds to those above it]]")
        figure(figures.waterfall(table, _now(now, int(table["images"].iloc[0]))))
    with right:
        _right(table)
    sides(table)
    if choice.complete.weights.get("granularity") == "tensor":
        _twin(profile, table)
    st.caption(_source(profile, found))


def answer(table: pd.DataFrame) -> str:
    """The finding in one sentence: which step buys most, from where to where."""
    rows = table[table["group"] == "build-up"]
    first, last = rows.iloc[0], rows.iloc[-1]
    images, fp32 = int(last["images"]), float(table.loc[table["group"] == "reference", "accuracy"].iloc[0])
    if len(rows) == 1:
        return (
            f"This recipe alone ends at **{percent(last['accuracy'])}**, {points(last['accuracy'] - fp32)} from FP32."
        )
    whole = float(last["accuracy"] - first["accuracy"])
    course = f"from {percent(first['accuracy'])} with none of them to {percent(last['accuracy'])} with all"
    course += f" (FP32 {percent(fp32)})"
    if first["p"] > SIGNIFICANT:
        nothing = f"**Nothing that {images:,} images could show:** the steps lead {course}"
        return f"{nothing}, {points(whole)}; p = {first['p']:.2f}."
    if whole < 0:
        return f"**These steps cost {points(whole).lstrip('−')}.** They lead {course}."
    return f"{_best_and_worst(rows)} The steps lead {course}."


def _best_and_worst(rows: pd.DataFrame) -> str:
    """The step that gains most, with what it does, and the one that takes most: those that chance does not explain."""
    gains = rows.iloc[1:].assign(gain=rows["accuracy"].diff(), clear=_apart(rows)).sort_values("gain", ascending=False)
    best, worst = gains.iloc[0], gains.iloc[-1]
    if not best["clear"]:
        return f"**Together they buy {points(gains['gain'].sum())}**, no step alone more than chance could."
    said = f"**{best['step']} buys most: {points(best['gain'])}.**"
    if best["step"] in ABOUT:
        said += f" :gray[{ABOUT[best['step']]}]"
    return f"{said} {worst['step']} takes most: {points(worst['gain'])}." if _takes(worst) else said


def _takes(step: pd.Series[Any]) -> bool:
    return bool(step["clear"] and step["gain"] < 0)


def _apart(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether the 95 % interval of a row lies apart from that of the row before."""
    return (rows["low"] > rows["high"].shift()) | (rows["high"] < rows["low"].shift())


def _now(now: Known | None, images: int) -> dict[str, Any] | None:
    """The recipe as it is switched, for the waterfall; named with its images where the other bars have `images`."""
    if now is None:
        return None
    own = int(now.value["images"])
    return {**now.value, "name": "as switched" if own == images else f"as switched, {own:,} images"}


def _right(table: pd.DataFrame) -> None:
    if not len(table[table["group"] == "without"]):
        return
    st.markdown("**Leave one out** :gray[:small[the complete recipe less one step]]")
    figure(figures.left_out(table))
    spare = replaceable(table)
    if spare:
        st.caption(spare)


def replaceable(table: pd.DataFrame) -> str:
    """Steps that gain much on the way, and that the complete recipe does not miss; nothing where there is none."""
    way = table[table["group"] == "build-up"]
    gains = dict(zip(way["step"], way["accuracy"].diff(), strict=True))
    spare = table[(table["group"] == "without") & (table["p"] > SIGNIFICANT)]["step"]
    told = [f"**{step}** ({points(gains[step])})" for step in spare if gains.get(step, 0.0) >= _MUCH]
    if not told:
        return ""
    it = "it" if len(told) == 1 else "one of them"
    return (
        f"On the way {' and '.join(told)} gained, yet leaving {it} out of the complete recipe costs nothing that these "
        "images show: other steps make up for it."
    )


def sides(table: pd.DataFrame) -> None:
    """The complete recipe with weights alone and activations alone quantized, and the time that it takes."""
    whole = table[table["complete"]].iloc[0]
    cards = [_side(table, "weights only"), _side(table, "activations only")]
    took = Card("the complete recipe takes", seconds(float(whole["seconds"])), "evaluation not counted")
    strip([card for card in (*cards, took) if card is not None])


def _side(table: pd.DataFrame, name: str) -> Card | None:
    rows = table[table["name"] == name]
    if rows.empty:
        return None
    row = rows.iloc[0]
    other = {"weights only": "activations real", "activations only": "weights real"}[name]
    note = f"{interval(row['low'], row['high'])}, {int(row['images']):,} images, {other}"
    return Card(f"the complete recipe, {name}", percent(row["accuracy"]), note)


def switched(choice: Choice, now: Known | None) -> str:
    """What the recipe as it is switched reaches, against the complete one where both were seen in pairs."""
    if now is None:
        return ""
    row = now.value
    text = f"Without {', '.join(choice.off)}: **{percent(row['accuracy'])}** ({interval(row['low'], row['high'])})"
    if "p" in row:
        return f"{text}, {judgement(row['change'], row['p'], int(row['images']))} against the complete recipe."
    return f"{text} on {int(row['images']):,} images, measured on this machine."


def _twin(profile: Profile, table: pd.DataFrame) -> None:
    """From a network that needs no step to the one that was made to need them."""
    rows = table[table["group"] == "build-up"]
    if profile.task != BALANCED or len(rows) == 1 or rows.iloc[0]["p"] <= SIGNIFICANT:
        return
    left, right = st.columns([3, 1.3], vertical_alignment="center")
    left.info(
        "This network forgives these bits without any step. Its unbalanced twin does not.", icon=":material/science:"
    )
    right.page_link(
        "pages/post_training.py", label="See the twin", icon=":material/arrow_forward:", query_params={"task": TWIN}
    )


def _source(profile: Profile, found: Known) -> str:
    if found.run is not None:
        return f"Measured on this machine: run {found.run.id}, seed 0."
    made = f"{profile.header['created'][:10]} with torch {profile.header['torch']}, seed {profile.seed}"
    return f"Stored with this task: measured on {made}."
