"""What a step is, and the registry in which steps are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from qexplore.network import Network
from qexplore.registry import Registry
from qexplore.report import Report
from qexplore.zoo.augmentation import Moves

S = TypeVar("S", bound=Callable[..., Network])
BATCH = 128  # images at a time: larger ones leave the caches of a CPU
SMALL = 3 * 64 * 64  # values of an image of which BATCH take a second at most, roughly


def images_at_once(example: Tensor) -> int:
    """Images of a batch: fewer of large ones, so that progress is told every second or so (project's own choice)."""
    return max(4, min(BATCH, BATCH * SMALL // max(1, example[:1].numel())))


class Batches(Protocol):
    """Images part by part, as a task's data gives them."""

    def batches(self, part: str, size: int = ..., limit: int | None = ...) -> Iterator[tuple[Tensor, Tensor]]: ...

    def batch_of(self, part: str, index: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]: ...

    def prepare(self, report: Report | None = ..., parts: Sequence[str] = ..., limit: int | None = ...) -> None: ...

    def count(self, part: str) -> int: ...

    @property
    def interval(self) -> tuple[float, float] | None: ...

    @property
    def moves(self) -> Moves: ...


State = tuple[dict[str, Tensor], dict[str, Any]]
"""Where a training stands: tensors by name, and plain JSON facts."""


class Keeper(Protocol):
    """Keeps the states of steps that take long, so that one that was stopped goes on where it was."""

    def load(self, key: str) -> State | None:
        """The last state kept under `key`, None where there is none."""

    def save(self, key: str, state: State) -> None:
        """Keeps `state` in place of the one before."""


@dataclass(frozen=True)
class Calibration:
    """The images that a step may see, the seed of its choices, and what a step that trains needs besides.

    keeper, key: where its state is kept, and under which name; None: nowhere.
    teacher: the task's own FP32 module, which no step changes.
    past: task and recipe up to this step, as JSON; a state that was kept is only taken over where it is the same.
    """

    data: Batches
    seed: int = 0
    limit: int | None = None
    batch: int = 128
    keeper: Keeper | None = None
    key: str = ""
    teacher: nn.Module | None = None
    past: str = ""

    @property
    def images(self) -> int:
        count = self.data.count("calibration")
        return count if self.limit is None else min(count, self.limit)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Least and greatest value that images can have, where the data tell it."""
        return self.data.interval

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.data.batches("calibration", size=self.batch, limit=self.limit)


class Step(Protocol):
    """One function of a recipe; its settings are keyword arguments."""

    def __call__(self, network: Network, calibration: Calibration, report: Report, /) -> Network: ...


STEPS: Registry[Step] = Registry("step")


def takes(
    defaults: Mapping[str, Any] | None, check: Callable[[Mapping[str, Any]], object] | None = None
) -> Callable[[S], S]:
    """Decorator of a step that takes settings besides its own keyword arguments: their names and defaults, or None
    where the network knows their names.

    check: raises QexploreError for settings that cannot be meant, before the first step of a recipe starts.
    """

    def mark(step: S) -> S:
        step.takes, step.check = None if defaults is None else dict(defaults), check  # type: ignore[attr-defined]
        return step

    return mark
