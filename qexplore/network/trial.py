"""The first run of a user's model, and the sentences for what it can bring to light."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError

CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+) channels")  # torch's words


class CaptureError(QexploreError):
    """A model that cannot be turned into a graph of quantizable operations."""


def run_model(model: nn.Module, example: Tensor) -> Tensor:
    """The logits of `model`; CaptureError where it does not run, or returns anything but one sound tensor."""
    required = _required(model)
    if len(required) > 1:
        raise CaptureError(
            f"The model needs {len(required)} inputs ({', '.join(required)}) and is given one: wrap it in a module "
            "whose forward takes the images alone."
        )
    try:
        with torch.no_grad():
            result = model(example.clone())  # which the model may write into
    except Exception as error:
        raise CaptureError(_does_not_run(error, example)) from error
    if not isinstance(result, Tensor):
        raise CaptureError(f"The model returns {_told(result)}, not one tensor of logits: {_way_out(result)}.")
    if bool(torch.isnan(result).any()):
        raise CaptureError("The model returns NaN on its example: give an example and weights that it can work with.")
    return result


def short(error: BaseException) -> str:
    """The first sentence of what went wrong."""
    return " ".join(str(error).split()).partition(". ")[0].rstrip(".")[:160] or type(error).__name__


def _does_not_run(error: Exception, example: Tensor) -> str:
    found = CHANNELS.search(str(error))
    if found and example.dim() > 2 and int(found[2]) == example.shape[1]:
        takes, have = (f"{n} channel{'s' * (int(n) != 1)}" for n in found.groups())
        return (
            f"The network takes {takes}, the images have {have[: have.index(' ')]}: give images with {takes}, "
            f"or a network whose first layer takes {have}."
        )
    if len(example) > 1:
        return (
            f"The model does not run on a batch of {len(example)} as it does on one image ({short(error)}): write "
            "shapes with -1 or flatten(1) in place of numbers."
        )
    return f"The model does not run on its example of shape {tuple(example.shape)}: {short(error)}."


def _required(model: nn.Module) -> list[str]:
    """Names of the inputs without a default."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]


def _told(result: object) -> str:
    """What came back, in words: "a dict with the keys 'out', 'aux'"."""
    name = type(result).__name__
    kind = f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
    if isinstance(result, Mapping):
        return f"{kind} with the keys {', '.join(map(repr, result))}"
    return f"{kind} of {len(result)}" if isinstance(result, tuple | list) else "nothing" if result is None else kind


def _way_out(result: object) -> str:
    if isinstance(result, Mapping) and result:
        part = f"[{next(iter(result))!r}]"
    elif isinstance(result, tuple | list) and result:
        part = "[0]"
    else:
        return "wrap it in a module whose forward returns them"
    return f"wrap it in a module whose forward returns one of them, such as model(x){part}"
