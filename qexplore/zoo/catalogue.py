"""All tasks there are: those of the zoo and a user's own. Imports no torch."""

from __future__ import annotations

import datetime

from qexplore.errors import QexploreError, UnknownName
from qexplore.registry import key_of
from qexplore.zoo import own
from qexplore.zoo.entries import ENTRIES, Entry


def names() -> tuple[str, ...]:
    """Names of all tasks, in the order in which they are shown: the zoo's, then one's own."""
    return (*ENTRIES.names(), *own.names())


def entry(name: str) -> Entry:
    """The entry called `name`; UnknownName with the nearest names where there is none.

    QexploreError where it is a task of one's own whose file is damaged.
    """
    if name in ENTRIES:
        return ENTRIES.get(name)
    stored = own.find(name)
    if stored is None:
        raise UnknownName("task", name, names())
    return own.entry(stored)


def added(name: str) -> float:
    """When the task called `name` was added, in seconds since 1970; 0 for one of the zoo, and where there is none.

    What is older was found out about another task, which had the name before.
    """
    try:
        source = entry(name).source
        return 0.0 if source is None else datetime.datetime.fromisoformat(source["created"]).timestamp()
    except (QexploreError, KeyError, TypeError, ValueError):  # no task, or a document that was written by hand
        return 0.0


def taken(name: str) -> str | None:
    """The task that has this name already, perhaps written otherwise; None where the name is free."""
    if name in ENTRIES:
        return ENTRIES.canonical(name)
    return next((one for one in own.folders() if key_of(one) == key_of(name)), None)
