"""Networks of timm (PyTorch Image Models), an optional extra."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qexplore.errors import QexploreError, UnknownName
from qexplore.zoo.matching import other_head, put_weights
from qexplore.zoo.networks import Opened
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.weights import read_weights


def open_timm(name: str, file: Path | None) -> Opened:
    """timm's model `name` with its published weights, those of `file`, or fresh ones for "name@random"."""
    timm = _timm(name)
    model_name, _, chosen = name.partition("@")
    if chosen not in ("", "random"):
        raise QexploreError(f"timm names weights within the model's name, after a dot; not as in 'timm:{name}'.")
    if not timm.is_model(model_name):
        raise UnknownName("timm model", model_name, timm.list_models())
    source = f"timm:{name}"
    published = file is None and not chosen
    model = _published(timm, model_name, source) if published else _fresh(timm, model_name)
    notes: tuple[str, ...] = ()
    if file is not None:
        given = read_weights(file)
        head = other_head(given.state, model)
        model = model if head is None else _fresh(timm, model_name, num_classes=head[0])
        notes = put_weights(model, given, source)
    preprocessing = _preprocessing(timm.data.resolve_data_config({}, model=model))
    weights = file.name if file else chosen or "published"
    return Opened(model, preprocessing, None, source, weights, notes=notes)


def _timm(name: str) -> Any:
    if os.environ.get("QEXPLORE_OFFLINE"):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when its hub is imported
    try:
        import timm
    except ModuleNotFoundError:
        raise QexploreError(
            f"'timm:{name}' needs timm, which is not installed: install the extra with pip install 'qexplore[timm]'."
        ) from None
    return timm


def _fresh(timm: Any, model_name: str, **settings: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = timm.create_model(model_name, pretrained=False, **settings)
    return model


def _published(timm: Any, model_name: str, source: str) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(model_name, pretrained=True)
    except Exception as problem:  # whatever its hub, its network or its files have to say
        reason = " ".join(str(problem).split())[:160].rstrip(".")
        raise QexploreError(
            f"The weights of {source} could not be had ({reason}): download them into timm's cache (HF_HOME) where "
            f"there is network, give weights of your own, or take {source}@random."
        ) from None
    return model


def _preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """timm's evaluation transform: the shorter side at crop size / crop_pct, then the centre."""
    channels, height, width = config["input_size"]
    share = float(config.get("crop_pct") or 1.0)
    if config.get("crop_mode") == "squash" or height != width:
        resize: int | tuple[int, int] = (int(height / share), int(width / share))
    else:
        resize = int(height / share)
    return Preprocessing(
        channels=channels,
        resize=resize,
        crop=(height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=str(config["interpolation"]),
    )
