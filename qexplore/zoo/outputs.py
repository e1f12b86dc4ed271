"""What a network says of one image, checked before anybody relies on it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError

_MISSING_INPUTS = re.compile(r"missing \d+ required positional arguments?: (.*)")  # Python's words
_NEEDS_SEVERAL = "Expected more than 1 value per channel when training"  # torch's words


def checked_output(model: nn.Module, example: Tensor, what: str) -> Tensor:
    """What the network, called `what`, says of the example: [1, classes, …]; QexploreError where it is not that."""
    _require_weights(model, what)
    _require_channels(model, example, what)
    try:
        # Not in inference mode: what the module makes in its first forward (lazy layers, tensors that it keeps) could
        # take no part in a training later.
        with torch.no_grad():
            output = model(example)
    except Exception as problem:  # any module, any reason
        if _NEEDS_SEVERAL in str(problem):
            raise QexploreError(
                f"The network {what} cannot be run on one image: {_unmeasured(model)} has no running statistics and "
                "measures each batch anew: build it with track_running_stats=True and the statistics of its training, "
                "or take GroupNorm or LayerNorm, which need no batch."
            ) from problem
        raise QexploreError(_does_not_run(model, example, what, problem)) from problem
    if not isinstance(output, Tensor):
        keys = f" with {', '.join(map(repr, list(output)[:4]))}" if isinstance(output, Mapping) else ""
        raise QexploreError(
            f"The network {what} returns a {type(output).__name__}{keys}, not one tensor of logits: "
            "wrap it in a module whose forward picks the logits."
        )
    if not output.is_floating_point():
        kind = str(output.dtype).removeprefix("torch.")
        raise QexploreError(
            f"The network {what} gives {kind} numbers of the shape {list(output.shape)}; logits are floating-point: "
            "let its forward return what it has before it chooses a class, as real numbers."
        )
    if output.dim() not in (2, 4) or len(output) != len(example) or output.numel() == 0:
        raise QexploreError(
            f"The network {what} gives {list(output.shape)} for one image; logits are [1, classes], "
            "or [1, classes, height, width] for a class each pixel."
        )
    if not bool(torch.isfinite(output).all()):
        raise QexploreError(f"The network {what} gives NaN or infinite values for a real image; check its weights.")
    return output


def _does_not_run(model: nn.Module, example: Tensor, what: str, problem: Exception) -> str:
    reason = " ".join(str(problem).split())[:200].rstrip(".")
    inputs = _MISSING_INPUTS.search(reason)
    if inputs and isinstance(problem, TypeError):
        return (
            f"The network {what} needs more inputs than images ({inputs[1]}): wrap it in a module whose forward takes "
            "the images alone."
        )
    first = _first_conv(model)
    if first is not None and example.dim() == 4 and example.shape[1] != first.in_channels == example.shape[3]:
        return (
            f"The images {list(example.shape[1:])} have their channels last and {what} takes {first.in_channels} "
            "channels first: give arrays [N, channels, height, width], as x.transpose(0, 3, 1, 2) of numpy makes them."
        )
    if len(example) > 1 and _runs(model, example[:1]):
        return (
            f"The network {what} runs on one image and not on a batch of {len(example)} ({reason}): write shapes with "
            "-1 or flatten(1) in place of numbers."
        )
    return (
        f"The network {what} cannot be run on an image of {list(example.shape[1:])} "
        f"({type(problem).__name__}: {reason}); give images of the size and channels that it takes."
    )


def _runs(model: nn.Module, example: Tensor) -> bool:
    try:
        with torch.no_grad():
            model(example)
    except Exception:  # any module, any reason
        return False
    return True


def _require_weights(model: nn.Module, what: str) -> None:
    empty = next((name for name, value in model.state_dict().items() if value.is_meta), None)
    if empty is not None:
        raise QexploreError(
            f"The network {what} has no numbers in {empty}, which lies on torch's meta device: make it without "
            "torch.device('meta'), or load its weights with load_state_dict(…, assign=True) first."
        )


def _unmeasured(model: nn.Module) -> str:
    """The batch norms that have nothing to judge a single image by."""
    norms = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None
    ]
    return f"its batch norm {norms[0]}" if norms else "a batch norm of it"


def _require_channels(model: nn.Module, example: Tensor, what: str) -> None:
    first = _first_conv(model)
    if first is not None and example.dim() == 4 and {first.in_channels, example.shape[1]} == {1, 3}:
        raise QexploreError(
            f"The images have {example.shape[1]} channel{'s' * (example.shape[1] > 1)} and {what} takes "
            f"{first.in_channels}: give {'RGB' if first.in_channels == 3 else 'grey'} images."
        )


def _first_conv(model: nn.Module) -> nn.Conv2d | None:
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
