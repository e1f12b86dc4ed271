"""From a user's module to a graph: torch.fx with the model's own modules as leaves."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from qexplore.errors import QexploreError
from qexplore.network.graph import Graph
from qexplore.network.lower import lower


class CaptureError(QexploreError):
    """A model that cannot be turned into a graph of quantizable operations."""


class _Tracer(fx.Tracer):
    """Traces the model; modules named in `opaque` stay whole."""

    def __init__(self, opaque: dict[str, str]) -> None:
        super().__init__()
        self.opaque = opaque
        self.inside: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.opaque or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.inside.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.inside.pop()  # left in place by an exception: its last entry names the culprit
        return result


def capture(model: nn.Module, example: Tensor) -> Graph:
    """The graph of `model` in eval mode on inputs like `example` (a batch of 1, float32); `model` is not changed.

    A submodule that torch.fx cannot trace becomes one opaque operation with the reason. Raises CaptureError where the
    model as a whole cannot be traced, does not return one tensor, or where the graph disagrees with the model.
    """
    model = copy.deepcopy(model).eval()
    check_weights(model)
    expected = _run_model(model, example)
    opaque: dict[str, str] = {}
    while True:
        tracer = _Tracer(opaque)
        try:
            with warnings.catch_warnings(action="ignore"):
                traced = tracer.trace(model)
            break
        except Exception as error:
            if not tracer.inside:
                raise CaptureError(
                    f"The model {type(model).__name__} cannot be traced ({_short(error)}): move what depends on the "
                    "data into a submodule, which then stays unquantized as a whole."
                ) from error
            opaque[tracer.inside[-1]] = f"not traceable: {_short(error)}"
    graph = lower(model, traced, example, opaque)
    _check_agreement(graph, model, example, expected)
    return graph


def check_weights(model: nn.Module) -> None:
    """Raises CaptureError where a parameter or a buffer holds NaN or infinity."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CaptureError(f"The tensor {name!r} of the model holds NaN or infinity: load sound weights first.")


def _run_model(model: nn.Module, example: Tensor) -> Tensor:
    with _no_grad():
        try:
            result = model(example)
        except Exception as error:
            raise CaptureError(
                f"The model does not run on its example of shape {tuple(example.shape)}: {_short(error)}."
            ) from error
    if not isinstance(result, Tensor):
        raise CaptureError(
            f"The model returns a {type(result).__name__}, not one tensor of logits: wrap it to return them."
        )
    return result


def _check_agreement(graph: Graph, model: nn.Module, example: Tensor, expected: Tensor) -> None:
    """Same logits on the example, and on a batch of two, where a baked-in batch size would show."""
    from qexplore.network.execute import run_float

    pair = torch.cat([example, example.flip(-1)])
    for batch, logits in ((example, expected), (pair, None)):
        with _no_grad():
            try:
                got = run_float(graph, batch)
            except RuntimeError as error:
                raise CaptureError(
                    f"The captured graph does not run on a batch of {len(batch)}: {_short(error)}; write shapes with "
                    "-1 or flatten(1) in place of numbers."
                ) from error
            want = _run_model(model, batch) if logits is None else logits
        if got.shape != want.shape or not torch.allclose(
            got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max() + 1e-6)
        ):
            raise CaptureError(
                "The captured graph and the model disagree on their output: the model's path depends on its input, "
                "which a graph cannot follow."
            )


@contextmanager
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
