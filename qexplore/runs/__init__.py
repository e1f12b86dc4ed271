"""Runs: recipes carried out in the background, and a warm bench for questions between them.

The face for pages, command line and notebooks; it imports no torch.
"""

from __future__ import annotations

from qexplore.runs.errors import Cancelled, HomeUnusable, RunActive, RunCarriedOn, StoreTooNew, UnknownRun
from qexplore.runs.executor import Executor, LocalExecutor
from qexplore.runs.files import replacing
from qexplore.runs.home import home
from qexplore.runs.run import ACTIVE, FINISHED, STATES, Event, Run
from qexplore.runs.store import Store
from qexplore.runs.training import Trained, trained
from qexplore.runs.warm import Superseded, Warm, WarmDied, WarmSlow

__all__ = [
    "ACTIVE",
    "FINISHED",
    "STATES",
    "Cancelled",
    "Event",
    "Executor",
    "HomeUnusable",
    "LocalExecutor",
    "Run",
    "RunActive",
    "RunCarriedOn",
    "Store",
    "StoreTooNew",
    "Superseded",
    "Trained",
    "UnknownRun",
    "Warm",
    "WarmDied",
    "WarmSlow",
    "home",
    "replacing",
    "submit",
    "trained",
]


def submit(store: Store, spec: dict[str, object]) -> str:
    """Queues a run in the store and returns its id."""
    return store.submit(spec)
