"""What a bench is, and how times are taken so that a busy machine disturbs them least."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from qexplore.registry import Registry

Bench = Callable[..., dict[str, float]]
"""bench(report) -> ratios by name; one that can be made larger takes images=… too."""

BENCHES: Registry[Bench] = Registry("bench")
REPEATS = 9


def medians(works: Mapping[str, Callable[[], object]], repeats: int = REPEATS, uncounted: int = 2) -> dict[str, float]:
    """Median seconds of each work over `repeats` rounds; in every round each is done once, one after the other.

    The first `uncounted` rounds come before those.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats + uncounted):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if number >= uncounted:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
