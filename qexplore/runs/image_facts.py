"""What is known about the images of a task, as plain data for the pages."""

from __future__ import annotations

from typing import Any

from qexplore.zoo import Data

PARTS = ("train", "calibration", "evaluation")
NAMED = 20  # pictures left out that are named one by one


def image_facts(data: Data) -> dict[str, Any]:
    """source, preprocessing in a line ("" where unknown), counts by part, notices; skipped: how many pictures were left
    out so far, skipped_files: [name, reason] of the first of them.
    """
    left_out = data.skipped
    return {
        "source": data.source,
        "preprocessing": data.preprocessing.text() if data.preprocessing is not None else "",
        "counts": {part: data.count(part) for part in PARTS if data.has(part)},
        "notices": list(data.notices),
        "skipped": len(left_out),
        "skipped_files": [list(one) for one in left_out[:NAMED]],
    }
