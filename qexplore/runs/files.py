"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A path to write to; at the end of the block it takes the place of `final`, after an exception it is removed."""
    draft = final.with_name(f".{final.name}.tmp")
    try:
        yield draft
        draft.replace(final)
    finally:
        draft.unlink(missing_ok=True)
