"""The accuracy with each range of the picked site: stored with the profile, else measured by the warm bench."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from qexplore.ui import bench
from qexplore.ui.absent import how_to_get
from qexplore.ui.bench import DESK, Measured
from qexplore.ui.desk import desk, session
from qexplore.ui.ranges.choice import HAND, Choice

_PATIENCE = 0.25  # seconds that a drawing waits: a bench that is warm answers in less


@dataclass(frozen=True)
class Tried:
    """An accuracy, and the pairwise comparison with the stored range: as `network.Paired` has it."""

    measured: Measured
    gained: int
    lost: int
    change: float
    p: float


@dataclass(frozen=True)
class Found:
    """What is known by now: tried by range; pending: something is still being measured; trouble: one sentence."""

    tried: Mapping[str, Tried] = field(default_factory=dict)
    pending: bool = False
    trouble: str = ""


def find(choice: Choice) -> Found:
    """What is known about the ranges of a site; asks the bench for what is not, unless the task's images are absent."""
    known = stored(choice)
    wanted = wanting(choice, known)
    if not wanted or how_to_get(choice.profile.task):
        return Found(known)
    asker = f"ranges {session()}"
    asked = desk(*DESK).ask(asker, question(choice), lambda: _measure(choice, wanted, asker), patience=_PATIENCE)
    if not bench.ended(asked):
        return Found(known, pending=True)
    failed = bench.trouble(asked)
    return Found(known, trouble=failed) if failed else Found(known | _result(asked))


def question(choice: Choice) -> Hashable:
    """The name of the measurement at the desk."""
    hand = choice.ends if choice.by == HAND else None
    made = (choice.profile.task, str(choice.profile.header["created"]))
    return ("ranges", *made, choice.site, choice.bits, choice.rest, hand)


def wanting(choice: Choice, known: Mapping[str, Tried]) -> list[str]:
    """Ranges whose accuracy is not known: other estimators than the stored one, and the range by hand."""
    hand = [HAND] if choice.by == HAND and choice.ends is not None else []
    others = [method for method in choice.table["method"] if method != choice.stored]
    missing = [by for by in [*others, *hand] if by not in known]
    return missing or ([] if choice.stored in known else [choice.stored])


def stored(choice: Choice) -> dict[str, Tried]:
    """What the profile has measured: estimators at few bits, everything else as its recipe has it."""
    if choice.rest is not None:
        return {}
    rows = choice.table.dropna(subset=["accuracy"])
    return {str(row["method"]): _tried(row, choice.profile.metric) for row in rows.to_dict("records")}


def _tried(row: Mapping[Hashable, Any], metric: str) -> Tried:
    found = Measured(row["accuracy"], row["low"], row["high"], int(row["images"]), metric=metric)
    gained, lost = int(row["gained"]), int(row["lost"])
    # Profiles made before the column was there are of classes alone, where this is the change.
    change = float(row.get("change", (gained - lost) / found.images))
    return Tried(found, gained, lost, change, float(row["p"]))


def _measure(choice: Choice, wanted: list[str], asker: str) -> dict[str, Tried]:
    profile = choice.profile
    request = {
        "task": profile.task,
        "recipe": profile.recipe,
        "seed": profile.seed,
        "bits": choice.allocation(),
        "variants": {by: {choice.site: choice.settings(by)} for by in wanted},
        "images": choice.profile.images,
    }
    reply = bench.ask(request, asker)
    base = Tried(_of(reply), 0, 0, 0.0, 1.0)
    others = {by: Tried(_of(v), v["gained"], v["lost"], v["change"], v["p"]) for by, v in reply["variants"].items()}
    return {choice.stored: base, **others}


def _of(reply: Mapping[str, Any]) -> Measured:
    return Measured(**reply["accuracy"], seconds=float(reply["seconds"]))


def _result(future: Future[Any]) -> dict[str, Tried]:
    found: dict[str, Tried] = future.result()
    return found


def accuracies(choice: Choice, found: Found) -> pd.DataFrame:
    """A row a range, in the order of the table: range, accuracy, low, high, images; NaN where unknown."""
    rows = []
    for by in choice.shown["method"]:
        tried = found.tried.get(by)
        m = tried.measured if tried else None
        columns = ("value", "low", "high", "images")
        rows.append({"range": by, **{c: getattr(m, c) if m else float("nan") for c in columns}})
    return pd.DataFrame(rows).rename(columns={"value": "accuracy"})
