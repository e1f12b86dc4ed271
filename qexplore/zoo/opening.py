"""A network and its images brought together from their names, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from qexplore.report import Report
from qexplore.zoo.data import Data
from qexplore.zoo.errors import BadData
from qexplore.zoo.labels import numbers_of, order_told
from qexplore.zoo.matching import put_weights
from qexplore.zoo.networks import RANDOM, Opened, open_network
from qexplore.zoo.outputs import checked_output
from qexplore.zoo.precision import in_float32
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.task import first_batch
from qexplore.zoo.weights import read_weights


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
    opened = with_preprocessing(replace(named, module=in_float32(named.module)), preprocessing)
    for note in opened.notes:
        report.event("log", text=note)
    assert opened.preprocessing is not None
    images = data if isinstance(data, Data) else open_data(data, opened.preprocessing, seed=seed, report=report)
    if images.preprocessing is not None and named.preprocessing is not None:
        report.event("log", text=f"Images as {opened.source} takes them: {images.preprocessing.text()}.")
    example, labels = first_batch(images)
    output = checked_output(opened.module, example, opened.source)
    _require_alike(output, labels, opened.source)
    return replace(opened, segmentation=output.dim() == 4), _matched(images, opened, output.shape[1])


def _require_alike(output: Tensor, labels: Tensor, source: str) -> None:
    """QexploreError where one of network and labels is about images and the other about their pixels."""
    if output.dim() == 4 and labels.dim() != 3:
        raise BadData(
            f"{source} gives a class for each pixel and the images have one each: "
            "give a folder with images/ and masks/ in it."
        )
    if output.dim() != 4 and labels.dim() == 3:
        raise BadData(
            f"The images have masks and {source} gives one class for the whole image: give a segmentation network, "
            "or a folder for each class."
        )


def _matched(data: Data, opened: Opened, outputs: int) -> Data:
    """The data with labels that are outputs of the network."""
    if data.classes is None:
        data.require_classes(outputs)
        return data
    fresh = opened.weights == RANDOM
    numbers = numbers_of(data.classes, outputs, opened.classes, opened.source, fresh=fresh)
    if numbers is not None:
        return data.relabelled(numbers)
    told = None if fresh else order_told(data.classes)
    return data if told is None else data.noticing(told)


def plain_opened(model: nn.Module, weights: str | Path | None = None) -> Opened:
    """A module that the user holds, of which nothing else is known; with the weights of a file where one is named."""
    name = type(model).__name__
    notes = () if weights is None else put_weights(model, read_weights(weights), name)
    return Opened(model.eval(), None, None, name, "its own" if weights is None else Path(weights).name, notes=notes)


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
