"""How far the training of a run is, from the events that it has sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qexplore.runs.store import Store

EVENTS = ("training-started", "epoch", "training-ended")


@dataclass(frozen=True)
class Trained:
    """The last step of a run that trains.

    step: its name. epoch: complete epochs, those before a pause included. accuracy: after the last of them, on `images`
    on which no weight is trained; None where none is complete. ended: whether the step has come to its end.
    """

    step: str
    epoch: int
    epochs: int
    accuracy: float | None
    images: int
    ended: bool

    @property
    def text(self) -> str:
        """In words: 'qat, 7 of 20 epochs, 91.2 % of 300 calibration images'."""
        told = f"{self.step}, {self.epoch} of {self.epochs} epochs"
        if self.accuracy is None:
            return told
        return f"{told}, {100 * self.accuracy:.1f} % of {self.images:,} calibration images"


def trained(store: Store, run_id: str) -> Trained | None:
    """How far the last training of the run `run_id` is; None for a run that has trained nothing."""
    begin: dict[str, Any] | None = None
    last: dict[str, Any] = {}
    ended = False
    for event in store.events(run_id, names=EVENTS):
        if event.name == "training-started":
            begin, last, ended = event.event, {}, False
        elif event.name == "epoch":
            last = event.event
        else:
            ended = True
    if begin is None:
        return None
    before = begin.get("at", 0) // max(begin.get("steps_per_epoch") or 1, 1)
    return Trained(
        step=str(begin.get("step", "training")),
        epoch=int(last.get("epoch", before)),
        epochs=int(begin.get("epochs", 0)),
        accuracy=last.get("accuracy"),
        images=int(last.get("images", 0)),
        ended=ended,
    )
