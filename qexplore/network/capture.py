"""From a user's module to a graph: torch.fx with the model's own modules as leaves."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from qexplore.network.graph import Graph
from qexplore.network.lower import lower
from qexplore.network.trial import CaptureError, run_model, short

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


class _Tracer(fx.Tracer):
    """Traces the model on its first input; modules named in `opaque` stay whole."""

    def __init__(self, opaque: dict[str, str]) -> None:
        super().__init__()
        self.opaque = opaque
        self.inside: list[str] = []

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """The first input alone: further ones keep the defaults that the model's own code gives them."""
        return root_fn, [self.root, self.create_proxy("placeholder", "input", (), {})]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.opaque or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        try:
            path = self.path_of_module(m)
        except NameError:  # made on the spot, as in nn.ReLU()(x): what it calls is traced
            return forward(*args, **kwargs)
        self.inside.append(path)
        result = super().call_module(m, forward, args, kwargs)
        self.inside.pop()  # left in place by an exception: its last entry names the culprit
        return result


@dataclass(frozen=True)
class Captured:
    """The graph of a model, and logits of the model itself to hold it against: (batch, logits)."""

    graph: Graph
    expected: tuple[tuple[Tensor, Tensor], ...]

    def check(self, run: Callable[[Tensor], Tensor]) -> None:
        """Raises CaptureError where `run`, which carries out the graph, gives other logits than the model."""
        for batch, want in self.expected:
            try:
                with torch.no_grad():
                    got = run(batch)
            except Exception as error:
                raise CaptureError(
                    f"The captured graph does not run on a batch of {len(batch)}: {short(error)}; write shapes with "
                    "-1 or flatten(1) in place of numbers."
                ) from error
            close = 1e-4 * float(want.abs().max()) + 1e-10 if want.numel() else 0.0
            if got.shape != want.shape or not torch.allclose(got, want, rtol=1e-3, atol=close):
                raise CaptureError(
                    "The captured graph and the model disagree on their output: the model's path depends on its "
                    "input or on chance, a hook changes a result, or a tensor is changed in place (as by +=) and read "
                    "again, which a graph cannot follow."
                )


def capture(model: nn.Module, example: Tensor) -> Captured:
    """The graph of `model` in eval mode, float32, on inputs like `example` (a batch of 1); `model` is not changed.

    A submodule that torch.fx cannot trace becomes one opaque operation with the reason. Raises CaptureError where the
    model as a whole cannot be traced, or does not return one tensor.
    """
    if example.dim() < 1 or len(example) == 0:
        raise CaptureError(f"The example has shape {tuple(example.shape)}: give one input, a batch of 1.")
    model = _copy(_bare(model))
    example = example[:1].float() if example.is_floating_point() else example[:1]
    # A batch of two is where a baked-in batch size would show.
    expected = tuple((x, run_model(model, x)) for x in (example, torch.cat([example, example.flip(-1)])))
    check_weights(model.requires_grad_(False))  # lazy layers have their weights by now
    traced, opaque = _trace(model)
    return Captured(lower(model, traced, example, opaque), expected)


def check_weights(model: nn.Module) -> None:
    """Raises CaptureError where a parameter holds NaN or infinity, or a buffer NaN (masks hold infinity)."""
    for name, tensor in model.named_parameters():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CaptureError(f"The tensor {name!r} of the model holds NaN or infinity: load sound weights first.")
    for name, buffer in model.named_buffers():
        if bool(torch.isnan(buffer).any()):
            raise CaptureError(f"The tensor {name!r} of the model holds NaN: load sound weights first.")


def _bare(model: nn.Module) -> nn.Module:
    """The module itself, where it is wrapped for speed or for several processors."""
    while True:
        inside = "module" if isinstance(model, _PARALLEL) else "_orig_mod" if _is_compiled(model) else ""
        if not inside:
            return model
        model = model.get_submodule(inside)


def _is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile has made it: a class of its own that torch does not show."""
    return type(model).__name__ == "OptimizedModule" and "_orig_mod" in model._modules


def _copy(model: nn.Module) -> nn.Module:
    """The model's float32 twin in eval mode; a bare layer is put into a module, whose child can then be a site."""
    # What pruning and weight norms leave on a module are results of a calculation, which deepcopy refuses.
    results = (v for m in model.modules() for v in vars(m).values() if isinstance(v, Tensor) and not v.is_leaf)
    try:
        twin = copy.deepcopy(model, {id(result): result.detach().clone() for result in results})
    except Exception as error:
        raise CaptureError(f"The model {type(model).__name__} cannot be copied: {short(error)}.") from error
    twin = twin.eval().float()
    return nn.Sequential(twin) if fx.Tracer().is_leaf_module(twin, "") else twin


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, str]]:
    """The traced model, and for each submodule that had to stay whole the reason."""
    opaque: dict[str, str] = {}
    while True:
        tracer = _Tracer(opaque)
        try:
            with warnings.catch_warnings(action="ignore"):
                return tracer.trace(model), opaque
        except Exception as error:
            culprit = next((path for path in reversed(tracer.inside) if path not in opaque), None)
            if culprit is None:
                raise CaptureError(
                    f"The model {type(model).__name__} cannot be traced ({short(error)}): move what torch.fx cannot "
                    "follow (conditions and loops on values or shapes, writing by index) into a submodule, which then "
                    "stays unquantized as a whole."
                ) from error
            opaque[culprit] = f"not traceable: {short(error)}"
