"""Memory that nobody uses goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Hands the free memory between blocks in use back to the system, where the C library does that (glibc).

    What is made and dropped while a large weight is ranged leaves holes between the small results that stay; they count
    as the process's own as long as nobody asks. Costs up to some milliseconds: after large work, not after each layer.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # where there is no such C library, nothing is done
        ctypes.CDLL(None).malloc_trim(0)
