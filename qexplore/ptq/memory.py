"""Results held in RAM up to a bound, and beyond it in files that vanish with them."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network.execute import Values

GIGABYTE = 1e9
DEFAULT = 2.0  # gigabytes


class Memory:
    """How many bytes the results that it keeps may take in RAM.

    A result that would surpass the bound lies in a memory-mapped file in the folder for temporary files (TMPDIR). The
    file has no name, so that it goes when the tensor goes, whatever happens; operations and their numbers are the same,
    and the system decides how much of the file stays in RAM. Not counted: weights, and what an operation needs while
    it works on one batch.
    """

    def __init__(self, gigabytes: float = DEFAULT) -> None:
        if not gigabytes >= 0:
            raise QexploreError(f"The setting 'memory' is a number of gigabytes, 0 or more; not {gigabytes!r}.")
        self.bound = gigabytes * GIGABYTE
        self._kept: list[Values] = []
        self._storages: dict[int, int] = {}  # address → bytes in RAM

    def new(self) -> Values:
        """A place for one batch's results, which are counted as long as they are in it."""
        values: Values = {}
        self._kept.append(values)
        return values

    @property
    def held(self) -> int:
        """Bytes in RAM of all that is kept, each tensor counted once however many views of it there are."""
        self._storages = {}
        for values in self._kept:
            for result in values.values():
                for x in _tensors(result):
                    self._count(x)
        return sum(self._storages.values())

    @property
    def room(self) -> float:
        """Bytes that are left below the bound."""
        return max(self.bound - self.held, 0.0)

    def place(self, result: Any, held: int) -> tuple[Any, int]:
        """The result, in a file where it does not fit, and the bytes held with it; `held`: without it."""
        if not isinstance(result, Tensor):
            return result, held + sum(self._count(x) for x in _tensors(result))
        if held + _bytes_in_ram(result) > self.bound and result.untyped_storage().data_ptr() not in self._storages:
            return on_disk(result), held
        return result, held + self._count(result)

    def _count(self, x: Tensor) -> int:
        """Bytes that `x` adds to what has been counted."""
        address = x.untyped_storage().data_ptr()
        if address in self._storages:
            return 0
        self._storages[address] = _bytes_in_ram(x)
        return self._storages[address]


def on_disk(x: Tensor) -> Tensor:
    """`x` with the same strides in a memory-mapped file that has no name any more.

    Raises QexploreError where the disk is full.
    """
    whole = x if x.untyped_storage().nbytes() == x.nbytes else x.clone()
    line = whole.as_strided((whole.numel(),), (1,))
    with tempfile.NamedTemporaryFile(prefix="qexplore-") as file:
        try:
            # Written, not only mapped: a full disk is an error here and would be the end of the process there.
            file.write(line.view(torch.uint8).numpy().data)
            file.flush()
        except OSError as error:
            raise QexploreError(
                f"Results of {x.nbytes / GIGABYTE:.3g} GB found no place in {tempfile.gettempdir()!r} "
                f"({error.strerror}): set TMPDIR to a larger disk, or raise the setting 'memory'."
            ) from error
        mapped = torch.from_file(file.name, shared=True, size=line.numel(), dtype=x.dtype)
    return mapped.as_strided(whole.shape, whole.stride())


def _bytes_in_ram(x: Tensor) -> int:
    storage = x.untyped_storage()
    return 0 if storage.filename is not None else storage.nbytes()


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, tuple | list):
        return [x for part in result for x in _tensors(part)]
    return [result] if isinstance(result, Tensor) else []
