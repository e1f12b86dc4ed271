"""What can go wrong in a training, told with the step, the site and a way out."""

from __future__ import annotations

from qexplore.errors import WorkFailed


class Diverged(WorkFailed):
    """The loss became NaN, infinite, or much larger than it was at the start."""

    def __init__(self, step: str, what: str, at: int, epoch: int, site: str, remedy: str) -> None:
        super().__init__(f"The training {step!r} diverged at step {at} (epoch {epoch}): {what}; {site}. {remedy}")
        self.at, self.epoch, self.remedy = at, epoch, remedy
