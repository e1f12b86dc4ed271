"""What a study is: variants to carry out, and claims that its trials bear out or do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qexplore.registry import Registry
from qexplore.studies.trials import Gauge, Trials, Variant


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds on one task, and the figures that say so; None: the claim says nothing about it."""

    task: str
    holds: bool | None
    figures: str


@dataclass(frozen=True)
class Claim:
    """A sentence that can turn out false, and the function that looks."""

    text: str
    look: Callable[[Trials, str], Verdict]


@dataclass(frozen=True)
class Study:
    """Variants and gauges table by table, the tasks, and the claims."""

    title: str
    tasks: tuple[str, ...]
    variants: tuple[Variant, ...]
    claims: tuple[Claim, ...]
    gauges: tuple[Gauge, ...] = ()


STUDIES: Registry[Callable[[], Study]] = Registry("study")
