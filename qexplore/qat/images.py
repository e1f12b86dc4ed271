"""Training images in an order, and moved and mirrored in a way, that hang on seed, epoch and batch alone.

So a training that goes on from its checkpoint sees what it would have seen: no state of a generator has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network.graph import channels_last
from qexplore.ptq import Calibration
from qexplore.qat.settings import Settings
from qexplore.zoo.augmentation import Moves, mirrored, shifted

PART = "train"
PRIME = 1_000_003


class Images:
    """The training part of a task, batch by batch."""

    def __init__(self, calibration: Calibration, settings: Settings) -> None:
        self.data, self.seed, self.settings = calibration.data, calibration.seed, settings
        self.count = self.data.count(PART)
        if self.count < 2:
            raise QexploreError(f"The training part has {self.count} images; training needs at least 2.")
        self.batch = min(settings.batch, self.count)
        self.per_epoch = self.count // self.batch
        self.moves = moves_of(settings, self.data.moves)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch `number` from batch `start` on; what does not fill a batch is left out for once."""
        order = torch.randperm(self.count, generator=self.generator(number))
        for batch in range(start, self.per_epoch):
            index = order[batch * self.batch : (batch + 1) * self.batch]
            x, y = self.data.batch_of(PART, index)
            yield channels_last(self._augmented(x, self.generator(number, batch + 1))), y

    def generator(self, epoch: int, batch: int = 0) -> torch.Generator:
        """Random numbers of one batch; batch 0 are those of the epoch's order."""
        return torch.Generator().manual_seed(((self.seed * PRIME + epoch) * PRIME + batch) % 2**63)

    def _augmented(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if x.dim() != 4:
            return x
        if self.moves.shift:
            x = shifted(x, self.moves.shift, generator)
        return mirrored(x, generator) if self.moves.flip else x


def moves_of(settings: Settings, own: Moves) -> Moves:
    """How images are moved: as the settings say, or as the data themselves do where these say nothing."""
    shift = own.shift if settings.shift is None else settings.shift
    return Moves(shift, own.flip if settings.flip is None else settings.flip)
