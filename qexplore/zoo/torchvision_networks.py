"""Networks of torchvision, with the weights of their own enumeration, a user's own, or fresh ones."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qexplore.errors import UnknownName
from qexplore.report import Report
from qexplore.zoo import hub
from qexplore.zoo.errors import CheckpointError
from qexplore.zoo.matching import other_head, put_weights
from qexplore.zoo.networks import RANDOM, Opened
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.weights import Weights, read_weights

# Heads that help in training and give nothing in eval mode: they are taken off, and their weights passed over.
_HELPERS = ("aux1", "aux2", "AuxLogits", "aux_classifier")
_IGNORED = tuple(f"{name}." for name in _HELPERS)
_environment = threading.Lock()


class Segmentation(nn.Module):
    """A segmentation network of torchvision that gives its map alone: x [N, 3, H, W] -> logits [N, classes, H, W].

    The same computation as the network's own entry "out"; the modules keep their names.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone, self.classifier = network.backbone, network.classifier
        self._takes_all = not hasattr(network, "aux_classifier")  # LRASPP's head reads two levels of features

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        logits = self.classifier(features if self._takes_all else features["out"])
        return F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)


def open_torchvision(name: str, file: Path | None, report: Report) -> Opened:
    """torchvision's classification or segmentation model `name`, "NAME" or "NAME@WEIGHTS"."""
    model_name, at, chosen = name.partition("@")
    segmentation = _require_known(model_name)
    weights = _weights_of(model_name, chosen or "DEFAULT")
    source = f"torchvision:{model_name}" + (f"@{chosen}" if at else "")
    notes: tuple[str, ...] = ()
    if file is not None:
        model, notes = _with_users(model_name, weights, read_weights(file), source)
    elif chosen == RANDOM:
        model = _fresh(model_name, weights)
    else:
        model = _with_published(model_name, weights, source, report)
    own_head = file is not None or chosen == RANDOM
    return Opened(
        module=Segmentation(model) if segmentation else model,
        preprocessing=_preprocessing(weights),
        classes=None if own_head else _categories(weights),
        source=source,
        weights=file.name if file else RANDOM if chosen == RANDOM else weights.name,
        segmentation=segmentation,
        notes=notes,
    )


def _preprocessing(weights: Any) -> Preprocessing:
    """The preset of the weights; what segmentation presets leave at its own shape is cut to a square.

    The square is the project's own choice: maps of one shape are what a batch takes.
    """
    found = Preprocessing.of_torchvision(weights.transforms())
    side = found.resize if isinstance(found.resize, int) else None
    return found if found.size is not None else replace(found, crop=side)


def model_names() -> tuple[str, ...]:
    """All models of torchvision that classify images or their pixels."""
    from torchvision import models

    return (*models.list_models(module=models), *models.list_models(module=models.segmentation))


def _require_known(name: str) -> bool:
    """Whether the model gives a map of classes; UnknownName for one that torchvision does not have."""
    from torchvision import models

    if name not in model_names():
        raise UnknownName("model of torchvision", name, model_names())
    return name in models.list_models(module=models.segmentation)


def _weights_of(model_name: str, chosen: str) -> Any:
    """The member of the model's enumeration; the default one, whose preprocessing it has, for random weights."""
    from torchvision import models

    members = models.get_model_weights(model_name).__members__
    chosen = "DEFAULT" if chosen == RANDOM else chosen
    if chosen not in members:
        raise UnknownName(f"set of weights of torchvision:{model_name}", chosen, [*members, RANDOM])
    return members[chosen]


def _categories(weights: Any) -> tuple[str, ...] | None:
    """Names of the outputs; None for weights of the features alone (vgg16)."""
    names = weights.meta.get("categories")
    return tuple(names) if names else None


def _fresh(model_name: str, weights: Any, classes: int | None = None) -> nn.Module:
    """The architecture as `weights` need it, its own drawn with a fixed seed; torch's generator is left as it was."""
    from torchvision import models

    classes = classes or len(_categories(weights) or ())
    settings: dict[str, Any] = {"num_classes": classes} if classes else {}
    if model_name in models.list_models(module=models.segmentation):
        settings["weights_backbone"] = None
    if model_name in ("googlenet", "inception_v3"):
        settings |= {"transform_input": True, "aux_logits": True, "init_weights": False}
    if model_name.startswith("vit_"):
        settings["image_size"] = weights.meta["min_size"][0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = models.get_model(model_name, weights=None, **settings)
    return _without_helpers(model)


def _with_users(model_name: str, weights: Any, given: Weights, source: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The architecture with a user's weights; a head of another number of classes is built as the weights have it."""
    model = _fresh(model_name, weights)
    head = other_head(given.state, model, _IGNORED)
    if head is None:
        return model, put_weights(model, given, source, ignored=_IGNORED)
    model = _fresh(model_name, weights, classes=head[0])
    notes = put_weights(model, given, source, ignored=_IGNORED)
    return model, (*notes, f"The network was built with {head[0]} outputs, as its weights have them, not {head[1]}.")


def _with_published(model_name: str, weights: Any, source: str, report: Report) -> nn.Module:
    from torchvision import models

    file = hub.fetch(weights.url, source, report)
    try:
        with _weights_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = models.get_model(model_name, weights=weights, progress=False)
    except Exception as problem:  # torch.load tells damaged files in a dozen ways
        reason = str(problem).split("\n")[0][:120].rstrip(".:")
        raise CheckpointError(
            f"The file {file} does not hold the weights of {source} ({reason}): delete it, and put the published one "
            "there or have it downloaded anew."
        ) from None
    return _without_helpers(model)


def _without_helpers(model: Any) -> nn.Module:
    for name in _HELPERS:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    if hasattr(model, "aux_logits"):
        model.aux_logits = False
    bare: nn.Module = model
    return bare


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch.load runs no code of a file, although torchvision does not ask for that."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    with _environment:
        before = os.environ.get(name)
        os.environ[name] = "1"
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before
