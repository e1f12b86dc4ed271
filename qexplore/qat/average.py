"""The exponential moving average of all that is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from qexplore.qat.trainable import Trainable


class Average:
    """decay · average + (1 - decay) · present, of parameters and running statistics; nothing where decay is 0.

    The first steps count fully: the decay rises as (1 + t) / (10 + t) until it reaches its own value.
    """

    def __init__(self, trainable: Trainable, decay: float) -> None:
        self.decay, self._trainable = decay, trainable
        self._present = _all(trainable) if decay else {}
        self.values = {name: value.detach().clone() for name, value in self._present.items()}

    @torch.no_grad()
    def update(self, at: int) -> None:
        """Takes the values after step `at` in."""
        share = 1 - min(self.decay, (1 + at) / (10 + at))
        for name, value in self.values.items():
            value.lerp_(self._present[name], share)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The averages in place of the present values, frozen weights on their codes; always restores."""
        if not self.values:
            yield
            return
        before = {name: value.detach().clone() for name, value in self._present.items()}
        self.keep()
        try:
            yield
        finally:
            self._put(before)

    def keep(self) -> None:
        """The averages in place of the present values, for good.

        The average of a weight lags behind the step at which it was frozen, and that of its scale is another one: the
        average would leave its code, which the freezing was for.
        """
        self._put(self.values)
        self._trainable.hold_frozen()

    def load(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self.values.items():
            value.copy_(values[name])

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._present[name].copy_(value)


def _all(trainable: Trainable) -> dict[str, Tensor]:
    return {**trainable.latent(), **trainable.learned(), **trainable.buffers()}
