"""Which recipes train, and which trainings of a task there are: runs of this home, and recordings of qexplore."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.recipes import Recipe, presets
from qexplore.recipes.schema import TRAINING, TRAINS
from qexplore.registry import key_of
from qexplore.runs import Run
from qexplore.runs.recordings import Recording, recordings
from qexplore.runs.training_log import READ, Log
from qexplore.runs.trainings import Training
from qexplore.ui.stored import store

_RUNS = 200  # newest runs of recipes on a task that are looked through


@dataclass(frozen=True)
class Known:
    """A training that can be shown: a run, or a recording."""

    run: Run | None = None
    recording: Recording | None = None

    @property
    def id(self) -> str:
        """Its name in the address."""
        return self.run.id if self.run else self.recording.name if self.recording else ""

    @property
    def spec(self) -> Mapping[str, Any]:
        """task, recipe, seed."""
        return self.run.spec if self.run else self.recording.header if self.recording else {}

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        told = self.spec.get("recipe")
        return str(told.get("name", "")) if isinstance(told, Mapping) else str(told or "")

    @property
    def seed(self) -> int:
        return int(self.spec.get("seed", 0))

    @property
    def state(self) -> str:
        return self.run.state if self.run else "recorded"

    @property
    def active(self) -> bool:
        return self.run is not None and self.run.active

    @property
    def seconds(self) -> float | None:
        """Seconds of the whole training, those before it was resumed included."""
        if self.run is not None:
            return store().seconds(self.run.id)
        return self.recording.header.get("seconds") if self.recording else None

    @property
    def parts(self) -> int:
        """How many runs it took: one more each time that it was resumed."""
        return len(store().line(self.run.id)) if self.run else 1

    @property
    def label(self) -> str:
        """A line that tells it from others; it stays the same, since a browser knows what is picked by its label."""
        if self.run is None:
            return f"{self.recipe} · recorded, comes with qexplore"
        made = datetime.datetime.fromtimestamp(self.run.created).strftime("%d %b, %H:%M")
        return f"{self.recipe} · seed {self.seed} · {made} · {self.id}"


@cache
def training_presets() -> dict[str, Recipe]:
    """The recipes that train and come with qexplore, by name."""
    return {name: Recipe.load(name) for name in presets(TRAINING)}


def training_steps(recipe: Recipe) -> list[str]:
    """Names of the steps of a recipe that train, in order."""
    keys = {key_of(name): name for name in TRAINS}
    return [keys[key_of(step.name)] for step in recipe.steps if key_of(step.name) in keys]


def known(task: str) -> list[Known]:
    """The trainings of a task: active runs first, then finished ones, the newest first, then recordings."""
    runs = [run for run in store().runs(limit=_RUNS, kind="recipe", task=task) if trains(run)]
    active = [run for run in runs if run.active]
    ended = [run for run in runs if not run.active]
    return [*(Known(run) for run in active + ended), *(Known(recording=one) for one in shipped(task))]


@st.cache_resource(max_entries=12, show_spinner=False)
def shipped(task: str) -> list[Recording]:
    """The recordings of a task that come with qexplore."""
    return recordings(task)


def trains(run: Run) -> bool:
    """Whether a run carries out a recipe that trains, on the network that its task is now."""
    recipe = run.spec.get("recipe")
    if run.kind != "recipe" or run.task is None or run.outdated:
        return False
    if isinstance(recipe, str):
        return recipe in training_presets()
    try:
        return isinstance(recipe, Mapping) and Recipe.load(recipe).trains
    except QexploreError:
        return False


def opened(found: list[Known], wanted: str | None) -> Known | None:
    """The training that the address names; else an active run, a finished one, a recording, whatever there is."""
    for fits in (
        lambda one: one.id == wanted,
        lambda one: one.active,
        lambda one: one.state == "done",
        lambda one: one.recording is not None,
        lambda one: True,
    ):
        match = next((one for one in found if fits(one)), None)
        if match is not None:
            return match
    return None


def training_of(one: Known) -> Training:
    """What a training has told by now; the same object while nothing new was told."""
    return _recorded(str(one.recording.folder)) if one.recording else _kept(str(store().root), one.id).training(one.run)


@st.cache_resource(max_entries=12, show_spinner=False)
def _recorded(folder: str) -> Training:
    return Training.of(Recording.read(Path(folder)).log())


@dataclass
class _Kept:
    """The log of one run, read on from where it was read to, and the tables made of it."""

    log: Log = field(default_factory=Log)
    made: tuple[tuple[int, ...], Training] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def training(self, run: Run | None) -> Training:
        assert run is not None
        with self.lock:
            joined, at = self._joined(run)
            if self.made is None or self.made[0] != at:
                self.made = (at, Training.of(joined))
            return self.made[1]

    def read(self, run: Run) -> Log:
        self.log.extend((event.seq, event.event) for event in store().events(run.id, after=self.log.last, names=READ))
        return self.log

    def _joined(self, run: Run) -> tuple[Log, tuple[int, ...]]:
        """The log with those of the runs that this one carries on, and how far each was read."""
        log, at = self.read(run), [self.log.last]
        for earlier in reversed(store().line(run.id)[:-1]):
            before = _kept(str(store().root), earlier.id)
            with before.lock:
                log = log.after(before.read(earlier))
                at.append(before.log.last)
        return log, tuple(at)


@st.cache_resource(max_entries=40, show_spinner=False)
def _kept(root: str, run_id: str) -> _Kept:
    return _Kept()
