"""Peak memory of the works that go over images, against that of the FP32 evaluation at the same batch size."""

from __future__ import annotations

import json
import subprocess
import sys

from qexplore.bench.peak import WORKS
from qexplore.bench.subjects import LARGE
from qexplore.bench.timing import BENCHES
from qexplore.errors import QexploreError
from qexplore.report import Report


@BENCHES.register("memory")
def memory(report: Report, *, images: int = 16) -> dict[str, float]:
    """Peak resident memory / that of the model's own FP32 evaluation, on one batch of `images` at 224 × 224 (limit: 2).

    Each in a process of its own, less what the process has after its imports.
    """
    ratios: dict[str, float] = {}
    for name in LARGE:
        peaks = {work: _peak(work, name, images) for work in report.track(list(WORKS), f"peak memory of {name}")}
        ratios |= {f"{work}/fp32 memory {name}": peaks[work] / peaks["fp32"] for work in WORKS if work != "fp32"}
        ratios[f"fp32 megabytes {name}"] = peaks["fp32"] / 1e6
    return ratios


def _peak(work: str, name: str, images: int) -> int:
    command = [sys.executable, "-W", "ignore", "-m", "qexplore.bench.peak", work, name, str(images)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        raise QexploreError(f"The measurement of {work!r} on {name} ended early: {said[-1]}")
    return int(json.loads(ended.stdout)["bytes"])
