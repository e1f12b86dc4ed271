"""The page docs/peers.md, from what the scripts have printed."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import lines
from benchmarks.tools import BITS, TOOLS, Tool
from qexplore.network import Accuracy, Judged, compare

HEADS = (
    "tool",
    "accuracy, % (95 % interval)",
    "points against qexplore (p)",
    "seconds",
    "peak memory, MB",
    "lines",
)


def markdown(found: Mapping[str, Any]) -> str:
    """The page; found: command, machine (name → text), fp32 and results (bits → tool → what it printed)."""
    fp32, results = found["fp32"], found["results"]
    parts = [
        "# qexplore beside its peers on resnet20-cifar10",
        f"Made by `{found['command']}`; nobody edits this page.",
        f"The same weights ({_percent(fp32)} % of {fp32['images']} images right in FP32), the same "
        f"{fp32['calibration']} calibration images, the same preprocessing (done once, by qexplore), the same "
        f"evaluation images, one process after the other on one thread, seed {fp32['seed']}. Every tool judges by its "
        "own simulation of the quantized network; biases and sums stay as the tool has them.",
        "\n".join(f"- {name}: {text}" for name, text in found["machine"].items()),
        _clocks(results),
        "\n".join(_row(cells) for cells in _versions(results)),
        *(part for bits in results if results[bits] for part in _table(bits, results[bits])),
        _reading(),
        "## What each tool did",
        *(f"`benchmarks/{script.name}`. {_method(script)}" for script in dict.fromkeys(t.script for t in TOOLS)),
    ]
    return "\n\n".join(parts) + "\n"


def _versions(results: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    yield "tool", "version", "torch", "Python"
    yield ("---",) * 4
    for tool in TOOLS:
        printed = [row[tool.key] for row in results.values() if "versions" in row.get(tool.key, {})]
        if printed:
            yield tool.title, *map(str, printed[0]["versions"].values())


def _clocks(results: Mapping[str, Any]) -> str:
    printed = [document for row in results.values() for document in row.values() if "right" in document]
    processor, wall = (sum(document[key] for document in printed) for key in ("seconds", "wall_seconds"))
    return (
        f"Quantizing took {processor:.0f} seconds of the processor in all and {wall:.0f} by the clock; where these lie "
        "far apart, the machine had other work, and each figure in seconds is somewhat too high."
    )


def _table(bits: str, row: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {BITS[bits][0].upper()}{BITS[bits][1:]}"
    tools = [tool for tool in TOOLS if tool.key in row]
    ours = row.get(TOOLS[0].key, {})
    rows = [HEADS, ("---",) * len(HEADS), *(_cells(tool, bits, row[tool.key], ours) for tool in tools)]
    yield "\n".join(_row(cells) for cells in rows)
    for tool in tools:
        if "not_offered" in row[tool.key]:
            yield f"{tool.title}: not offered, {row[tool.key]['not_offered']}."
        if "failed" in row[tool.key]:
            yield f"{tool.title} failed: `{row[tool.key]['failed']}`"


def _cells(tool: Tool, bits: str, printed: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, ...]:
    if "right" not in printed:
        return tool.title, "failed" if "failed" in printed else "not offered", *[""] * (len(HEADS) - 2)
    accuracy = Accuracy.of(printed["correct"], printed["images"])
    return (
        tool.title,
        f"{_percent(printed)} ({100 * accuracy.low:.2f} to {100 * accuracy.high:.2f})",
        "" if printed is ours or "right" not in ours else _difference(ours, printed),
        f"{printed['seconds']:.0f}",
        "unknown" if printed["peak_mb"] is None else f"{printed['peak_mb']:.0f} ({printed['loaded_mb']:.0f})",
        str(lines.count_lines(tool.script.read_text(), tool.setting(bits))),
    )


def _difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The change of accuracy in points from qexplore to the other tool, and McNemar's exact p, in brackets."""
    paired = compare(_judged(ours), _judged(theirs))
    return f"{100 * paired.change:+.2f} ({'< 0.001' if paired.p < 0.001 else f'{paired.p:.3f}'})"


def _judged(printed: Mapping[str, Any]) -> Judged:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(printed["right"]), np.uint8), count=printed["images"])
    return Judged(torch.from_numpy(bits).bool(), math.nan)


def _percent(printed: Mapping[str, Any]) -> str:
    return f"{100 * printed['correct'] / printed['images']:.2f}"


def _reading() -> str:
    rule = " ".join((lines.__doc__ or "").split("\n\n", 1)[1].split())
    return (
        "## How to read the tables\n\n"
        "Intervals are Wilson's and concern the images alone: another seed or other calibration images add to them. "
        "Points compare image by image (McNemar's exact test). Seconds: of the processor, from the FP32 network in "
        "memory to the quantized one, without imports, loading and the evaluation at the end. Peak memory: the most "
        "that the process has held until then; in brackets what it held before it began (Python, PyTorch, the tool, "
        "the calibration images). "
        f"Lines: {rule}"
    )


def _method(script: Path) -> str:
    return " ".join((ast.get_docstring(ast.parse(script.read_text())) or "").split())


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
