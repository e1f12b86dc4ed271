"""What debugging has found: a cause at a place, in plain words, with what would repair it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qexplore.debugging.harm import SUSPECT
from qexplore.plain import plain


@dataclass(frozen=True)
class Fix:
    """A complete recipe with one thing repaired.

    accuracy: as a document, on the evaluation images; divergence: mean KL from the model's softmax on them, in nats;
    gained, lost, p: images that it alone, or the recipe as it was alone, has right, and McNemar's exact p;
    seconds: to carry the recipe out. None where it was not measured.
    """

    label: str
    recipe: Mapping[str, Any]
    accuracy: Mapping[str, Any] | None = None
    divergence: float | None = None
    seconds: float | None = None
    gained: int | None = None
    lost: int | None = None
    p: float | None = None

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = plain(self)
        return document

    @property
    def merit(self) -> tuple[float, float]:
        """What fixes are ordered by, best first: closeness to the model, as far as it matters, before accuracy, which
        an image more or less decides; unmeasured ones come last.
        """
        if self.accuracy is None or self.divergence is None:
            return math.inf, 0.0
        return max(self.divergence, SUSPECT), -float(self.accuracy["value"])


@dataclass(frozen=True)
class Finding:
    """One cause.

    site: where, "" for the network as a whole; step: the step of the recipe that is to blame, where one is.
    text: one or two sentences with the numbers, which evidence holds by name.
    divergence: mean KL in nats by which it moves the softmax on its own.
    """

    cause: str
    site: str
    text: str
    divergence: float
    step: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    fixes: tuple[Fix, ...] = ()

    def with_fixes(self, fixes: tuple[Fix, ...]) -> Finding:
        return replace(self, fixes=tuple(sorted(fixes, key=lambda fix: fix.merit)))

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = plain(self)
        return document
