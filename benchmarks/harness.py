"""What the scripts of all tools share: weights and images in, one JSON document out. Not counted as lines of a user.

Needs torch, safetensors and numpy alone, so that it runs in the environment of every tool.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

import qexplore
from qexplore.zoo.models.resnet import resnet20_cifar10

BATCH = 128
CALIBRATION = "calibration.safetensors"
EVALUATION = "evaluation.safetensors"
Quantized = Callable[[Tensor], Tensor]
Quantize = Callable[[nn.Module, Tensor, Tensor], Quantized]  # network, calibration images [N,3,32,32], labels [N]


def main(tool: str, settings: Mapping[str, Quantize | str]) -> None:
    """Carries out the setting that the command line names and prints what came of it.

    tool: the distribution whose version is told. settings: a function, or the reason why the tool does not offer it.
    """
    given = _arguments(tool, [*settings, "fp32"])
    versions = {
        tool: qexplore.__version__ if tool == "qexplore" else importlib.metadata.version(tool),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    quantize = _unchanged if given.bits == "fp32" else settings[given.bits]
    document: dict[str, Any] = {"tool": tool, "bits": given.bits, "seed": given.seed, "versions": versions}
    if isinstance(quantize, str):
        document["not_offered"] = quantize
    else:
        with _printing_to_stderr():
            document |= _measured(quantize, given)
    print(json.dumps(document) if given.json else _told(document))


@contextlib.contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """What a tool prints is no part of the document; nor is what a solver prints that it starts as a program."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _arguments(tool: str, settings: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"{tool} on resnet20-cifar10")
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file of the network")
    parser.add_argument("--data", type=Path, required=True, help="folder that benchmarks.export has written")
    parser.add_argument("--bits", required=True, choices=settings)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, help="evaluate on the first so many images only")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _measured(quantize: Quantize, given: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(given.seed)
    model = resnet20_cifar10()
    model.load_state_dict(load_file(given.weights))
    calibration = load_file(given.data / CALIBRATION)
    loaded, wall, start = peak_memory(), time.perf_counter(), time.process_time()
    quantized = quantize(model.eval(), calibration["x"], calibration["y"])
    seconds, wall, peak = time.process_time() - start, time.perf_counter() - wall, peak_memory()
    start = time.process_time()
    correct = _judged(quantized, given.data / EVALUATION, given.images)
    return {
        "correct": int(correct.sum()),
        "images": len(correct),
        "right": np.packbits(correct).tobytes().hex(),
        "calibration": len(calibration["x"]),
        "seconds": seconds,  # of the processor: on one thread the same as by the clock, unless others are at work too
        "wall_seconds": wall,
        "evaluation_seconds": time.process_time() - start,
        "loaded_mb": loaded,
        "peak_mb": peak,
        "threads": torch.get_num_threads(),
    }


def _judged(quantized: Quantized, file: Path, limit: int | None) -> np.ndarray:
    """Whether the network is right about each evaluation image; bool [images]."""
    found = []
    with safe_open(file, "pt") as stored, torch.no_grad():
        images, labels = stored.get_slice("x"), stored.get_tensor("y")[:limit]
        for at in range(0, len(labels), BATCH):
            stop = min(at + BATCH, len(labels))
            found.append(quantized(images[at:stop]).argmax(dim=1) == labels[at:stop])
    return torch.cat(found).numpy()


def _unchanged(model: nn.Module, images: Tensor, labels: Tensor) -> Quantized:
    return model


def peak_memory() -> float | None:
    """The most memory that this process has held, in MB of 2^20 bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else None


def _told(document: dict[str, Any]) -> str:
    if "not_offered" in document:
        return f"{document['tool']} {document['bits']}: not offered: {document['not_offered']}"
    share = 100 * document["correct"] / document["images"]
    return (
        f"{document['tool']} {document['bits']}: {share:.2f} % of {document['images']} images, "
        f"{document['seconds']:.1f} s, {document['peak_mb'] or float('nan'):.0f} MB"
    )
