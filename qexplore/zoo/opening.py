"""A network and its images brought together from their names, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.zoo.data import Data
from qexplore.zoo.labels import numbers_of
from qexplore.zoo.networks import RANDOM, Opened, open_network
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.task import first_image


def open_parts(
    model: str | Opened,
    data: str | Data,
    *,
    weights: str | Path | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
    local: bool = False,
    report: Report | None = None,
) -> tuple[Opened, Data]:
    """The network called `model` and its images, after it was run on one of them.

    preprocessing: the network's own when None; where nobody knows one, images in [0, 1] at their own size.
    Raises QexploreError where either cannot be had or they do not go together.
    """
    from qexplore.zoo.pictures import open_data

    report = report or Report()
    named = model if isinstance(model, Opened) else open_network(model, weights, local=local, report=report)
    opened = with_preprocessing(named, preprocessing)
    for note in opened.notes:
        report.event("log", text=note)
    assert opened.preprocessing is not None
    images = data if isinstance(data, Data) else open_data(data, opened.preprocessing, seed=seed, report=report)
    example = first_image(images)
    outputs = checked_output(opened.module, example, opened.source).shape[1]
    return opened, _matched(images, opened, outputs)


def _matched(data: Data, opened: Opened, outputs: int) -> Data:
    """The data with labels that are outputs of the network."""
    if data.classes is None or opened.segmentation:
        data.require_classes(outputs)
        return data
    fresh = opened.weights == RANDOM
    numbers = numbers_of(data.classes, outputs, opened.classes, opened.source, fresh=fresh)
    return data if numbers is None else data.relabelled(numbers)


def plain_opened(model: nn.Module) -> Opened:
    """A module that the user holds, of which nothing else is known."""
    return Opened(model.eval(), None, None, type(model).__name__, "its own")


def open_document(document: Mapping[str, Any], weights: Path | None) -> tuple[Opened, Data]:
    """The parts of a stored task."""
    stored = document["preprocessing"]
    return open_parts(
        document["model"],
        document["data"],
        weights=weights,
        preprocessing=None if stored is None else Preprocessing.from_document(stored),
        seed=document["seed"],
        local=document["local"],
    )


def with_preprocessing(opened: Opened, given: Preprocessing | None) -> Opened:
    """The network with the preprocessing that was given, its own, or one that leaves the images as they are."""
    if given is not None:
        return replace(opened, preprocessing=given)
    if opened.preprocessing is not None:
        return opened
    channels = input_channels(opened.module)
    plain = Preprocessing(channels, None, None, (0.0,) * channels, (1.0,) * channels)
    note = f"Nobody says how images for {opened.source} are prepared; taken: {plain.text()}."
    return replace(opened, preprocessing=plain, notes=(*opened.notes, note))


def input_channels(model: nn.Module) -> int:
    """1 or 3: the channels that the network's first convolution takes, 3 where that tells nothing."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return 1 if first is not None and first.in_channels == 1 else 3


def checked_output(model: nn.Module, example: Tensor, what: str) -> Tensor:
    """What the network, called `what`, says of the example: [1, classes, …]; QexploreError where it is not that."""
    _require_channels(model, example, what)
    try:
        with torch.inference_mode():
            output = model(example)
    except Exception as problem:  # any module, any reason
        reason = " ".join(str(problem).split())[:200].rstrip(".")
        raise QexploreError(
            f"The network {what} cannot be run on an image of {list(example.shape[1:])} "
            f"({type(problem).__name__}: {reason}); give images of the size and channels that it takes."
        ) from problem
    if not isinstance(output, Tensor):
        keys = f" with {', '.join(map(repr, list(output)[:4]))}" if isinstance(output, Mapping) else ""
        raise QexploreError(
            f"The network {what} returns a {type(output).__name__}{keys}, not one tensor of logits: "
            "wrap it in a module whose forward picks the logits."
        )
    if output.dim() not in (2, 4) or len(output) != len(example):
        raise QexploreError(
            f"The network {what} gives {list(output.shape)} for one image; logits are [1, classes], "
            "or [1, classes, height, width] for a class each pixel."
        )
    if not bool(torch.isfinite(output).all()):
        raise QexploreError(f"The network {what} gives NaN or infinite values for a real image; check its weights.")
    return output


def _require_channels(model: nn.Module, example: Tensor, what: str) -> None:
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and example.dim() == 4 and {first.in_channels, example.shape[1]} == {1, 3}:
        raise QexploreError(
            f"The images have {example.shape[1]} channel{'s' * (example.shape[1] > 1)} and {what} takes "
            f"{first.in_channels}: give {'RGB' if first.in_channels == 3 else 'grey'} images."
        )
