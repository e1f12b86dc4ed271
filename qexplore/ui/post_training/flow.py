"""The debugging flowchart with its verdicts, drawn as a row of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from qexplore.figures.left_out import SIGNIFICANT, pairs
from qexplore.figures.words import interval, percent, points
from qexplore.metric import named

_ALONE = 0.8  # share of the divergence from which on one side is named alone
_SIGN = {"sound": "✓ ", "harm": "✗ ", "idle": ""}


@dataclass(frozen=True)
class Stage:
    """A question of the flowchart, its verdict and the numbers behind it; state: "sound", "harm" or "idle"."""

    question: str
    verdict: str
    numbers: str
    state: str


def flow(document: Mapping[str, Any]) -> None:
    """Draws the flowchart of a diagnosis."""
    st.html(Path(__file__).with_name("flow.css"))
    st.html(f'<ol class="qx-flow">{"".join(_html(stage) for stage in stages(document))}</ol>')


def stages(document: Mapping[str, Any]) -> list[Stage]:
    """The steps of the flowchart: the float network first, then the sides, then single sites, then repairs."""
    checks = {row["name"]: row for row in document["checks"]}
    return [
        _sane(document, checks),
        _loss(document, checks),
        _side(document, checks),
        _sites(document),
        _repair(document, checks["quantized"]),
    ]


Checks = Mapping[str, Mapping[str, Any]]


def _sane(document: Mapping[str, Any], checks: Checks) -> Stage:
    fp32, real = checks["fp32"], checks["all sites real"]
    steps = [finding["step"] for finding in document["findings"] if finding["cause"] == "network-changed"]
    verdict = f"no: {steps[0]} changed it" if steps else "yes"
    numbers = f"FP32 {percent(fp32['accuracy'])}; after all steps, every quantizer off, {percent(real['accuracy'])}"
    return Stage("Is the network sane without quantizers?", verdict, numbers, "harm" if steps else "sound")


def _loss(document: Mapping[str, Any], checks: Checks) -> Stage:
    row, fp32 = checks["quantized"], checks["fp32"]
    numbers = f"{percent(row['accuracy'])} ({interval(row['low'], row['high'])}, {int(row['images']):,} images)"
    question = f"Does quantizing cost {named(row.get('metric'))}?"
    if row["lost"] > row["gained"] and row["p"] <= SIGNIFICANT:
        return Stage(question, f"yes: {points(row['accuracy'] - fp32['accuracy'])}", numbers, "harm")
    if document["healthy"]:
        return Stage(question, "no", numbers, "sound")
    moved = f"these images cannot tell, but its answers move by {_nats(row)}"
    return Stage(question, moved, numbers, "harm")


def _side(document: Mapping[str, Any], checks: Checks) -> Stage:
    weights, activations = checks["weights only"], checks["activations only"]
    numbers = f"weights only {percent(weights['accuracy'])} and {_nats(weights)}; "
    numbers += f"activations only {percent(activations['accuracy'])} and {_nats(activations)}"
    if document["healthy"]:
        return Stage("Weights or activations?", "neither", numbers, "sound")
    share = weights["divergence"] / max(weights["divergence"] + activations["divergence"], 1e-300)
    more = "weights" if share > 0.5 else "activations"
    verdict = f"the {more}" if max(share, 1 - share) > _ALONE else f"both, the {more} more"
    return Stage("Weights or activations?", verdict, numbers, "harm")


def _sites(document: Mapping[str, Any]) -> Stage:
    guilty, total = culprits(document), len(document["sites"])
    if guilty:
        return Stage("Which sites?", f"{len(guilty)} of {total}", f"worst: {guilty[0]}", "harm")
    verdict, state = ("none", "sound") if document["healthy"] else ("no cause at a single one", "idle")
    worst = max(document["sites"], key=lambda row: float(row["divergence"]))
    numbers = f"most: {worst['site']}, {percent(worst['share'], 0)} of what {total} sites do, each quantized alone"
    return Stage("Which sites?", verdict, numbers, state)


def _repair(document: Mapping[str, Any], before: Mapping[str, Any]) -> Stage:
    question = "What repairs it?"
    if not document["fixes"]:
        return Stage(question, "nothing to repair" if document["healthy"] else "no change of this recipe", "", "idle")
    best = document["fixes"][0]
    if best["accuracy"] is None:
        return Stage(question, best["label"], "not measured yet", "idle")
    reached = best["accuracy"]
    numbers = f"{percent(reached['value'])}: {points(reached['value'] - before['accuracy'])}"
    surely, told = _compared(best, before)
    if surely:
        return Stage(question, best["label"], f"{numbers}{told}", "sound")
    return Stage(question, best["label"], f"{numbers}{told}; {_nats(best)} left", "idle")


def _compared(fix: Mapping[str, Any], before: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a repair is surely better, and what tells: pairs of answers; without them, the intervals."""
    if fix.get("p") is None:
        apart = fix["accuracy"]["low"] > before["high"]
        return apart, "" if apart else ", the 95 % intervals overlap, not paired"
    better = fix["gained"] > fix["lost"] and fix["p"] <= SIGNIFICANT
    return better, f" ({pairs(fix['gained'], fix['lost'], fix['p'], fix['accuracy'].get('metric'))})"


def _nats(row: Mapping[str, Any]) -> str:
    return f"{row['divergence']:.2g} nats"


def culprits(document: Mapping[str, Any]) -> list[str]:
    """Sites that a finding names, in the order of the findings."""
    return list(dict.fromkeys(finding["site"] for finding in document["findings"] if finding["site"]))


def _html(stage: Stage) -> str:
    verdict = f"<b>{_SIGN[stage.state]}{escape(stage.verdict)}</b>"
    return f'<li class="{stage.state}">{escape(stage.question)}{verdict}<small>{escape(stage.numbers)}</small></li>'
