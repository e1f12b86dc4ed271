"""A task: a network, its images and one example input."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.zoo import own
from qexplore.zoo.catalogue import entry
from qexplore.zoo.checkpoint import FOLDER, load_weights
from qexplore.zoo.data import PARTS, Data
from qexplore.zoo.entries import ENTRIES, Entry, resolve
from qexplore.zoo.outputs import checked_output
from qexplore.zoo.pictures import OWN, kind_of
from qexplore.zoo.precision import in_float32
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.sources import Batch, tensor_pair


class Task:
    """What is quantized: a task by its name, or a network and images of your own.

    Task("mobilenet-digits"), Task(model=module, data=Data(…), example=x, name="mine"), or Task.of by sources.
    model: the FP32 module itself, not a copy; it is put into eval mode, nothing else about it is changed. Of one in
        another precision (float16, bfloat16, float64) a copy in float32 is taken.
    example: one input, batch of 1; the first of a larger batch is used; without one it is taken from the data.
    name: for a network of your own a title of your choice, which may not be one of the zoo's.
    preprocessing: what the images went through, where that is known.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        model: nn.Module | None = None,
        data: Data | None = None,
        example: Tensor | None = None,
    ) -> None:
        if name is not None and model is None and data is None and example is None:
            self.name, self.model, self.data = _by_name(name)
        else:
            self.name, self.model, self.data = _own(name, model, data)
        self.example = _example(example, self.data)
        _agree(self.example, self.data)
        self.model.eval()
        if model is not None:
            checked_output(self.model, self.example, self.name)
        self.preprocessing = self.data.preprocessing

    @cached_property
    def metric(self) -> str:
        """How well a network does is told as "accuracy", or as "miou" where every pixel has a class."""
        return "miou" if first_batch(self.data)[1].dim() == 3 else "accuracy"

    @staticmethod
    def of(
        model: str | nn.Module,
        data: str | Data,
        *,
        weights: str | Path | None = None,
        preprocessing: Preprocessing | None = None,
        name: str | None = None,
        seed: int = 0,
        local: bool = False,
        report: Report | None = None,
    ) -> Task:
        """A task from sources, as open_network and open_data take them; nothing of it is stored.

        Task.of("torchvision:resnet18", "folder:photographs"). seed: of the split of the images.
        model: a name, or a module, into which `weights` are loaded where they are given.
        preprocessing: the network's own when None. local: whether the user's code may be run ("module.py:factory").
        """
        from qexplore.zoo.opening import open_parts, plain_opened

        given = plain_opened(model, weights) if isinstance(model, nn.Module) else model
        opened, images = open_parts(
            given, data, weights=weights, preprocessing=preprocessing, seed=seed, local=local, report=report
        )
        # A network of the zoo on other images is another task.
        title = f"{opened.source} on {images.source or 'other images'}" if opened.source in ENTRIES else opened.source
        return Task(model=opened.module, data=images, name=name or title)

    def __repr__(self) -> str:
        return f"Task({self.name!r})"


def open_model(chosen: Entry) -> nn.Module:
    """The entry's network with the weights of its checkpoint, in eval mode."""
    model = fresh_model(chosen)
    load_weights(model, FOLDER / chosen.checkpoint, chosen.name)
    return model.eval()


def fresh_model(chosen: Entry) -> nn.Module:
    """The entry's network with weights drawn anew; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return cast(nn.Module, resolve(chosen.build)())


def open_data(chosen: Entry) -> Data:
    """The entry's images."""
    return cast(Data, resolve(chosen.data)())


def _by_name(name: str) -> tuple[str, nn.Module, Data]:
    chosen = entry(name)
    if chosen.source is None:
        return chosen.name, open_model(chosen), open_data(chosen)
    from qexplore.zoo.opening import open_document

    opened, data = open_document(chosen.source, own.weights_of(chosen.name))
    return chosen.name, opened.module, data


def _own(name: str | None, model: object, data: object) -> tuple[str, nn.Module, Data]:
    if isinstance(data, str | Path) or (isinstance(model, str) and data is not None):
        raise QexploreError(
            "A task of your own is made of model=, a torch.nn.Module, and data=qx.Data(calibration=…, evaluation=…); "
            f"what is named by its source is opened by {_by_source(model, data)}."
        )
    if not isinstance(model, nn.Module):
        raise QexploreError(
            f"A task of your own needs model=, a torch.nn.Module, not {_kind(model)}; or name one of the zoo: "
            f"{', '.join(ENTRIES)}."
        )
    if not isinstance(data, Data):
        raise QexploreError(f"A task of your own needs data=qx.Data(calibration=…, evaluation=…), not {_kind(data)}.")
    if name is not None and name in ENTRIES:
        raise QexploreError(f"The name {name!r} belongs to the zoo; give your own network another one.")
    if isinstance(model, torch.jit.ScriptModule):
        raise QexploreError(
            "The network is compiled by TorchScript, which closes its layers: give the module it was made from."
        )
    for parameter, value in model.named_parameters():
        if not is_lazy(value) and not value.is_meta and not bool(torch.isfinite(value).all()):
            raise QexploreError(f"The model's {parameter} holds NaN or infinite values; repair or retrain it.")
    return name or type(model).__name__, in_float32(model), data


def _by_source(model: object, data: object) -> str:
    """The call that takes a network and images by their sources, with those that were given."""
    source = "data"
    if isinstance(data, str | Path):
        source = repr(str(data) if str(data) in OWN else ":".join(kind_of(str(data))))
    return f"qx.Task.of({repr(model) if isinstance(model, str) else 'model'}, {source})"


def _example(example: object, data: Data) -> Tensor:
    if example is None:
        return first_batch(data)[0]
    if not isinstance(example, Tensor) or not example.is_floating_point() or example.dim() < 2 or len(example) == 0:
        given = f"{example.dtype} {list(example.shape)}" if isinstance(example, Tensor) else _kind(example)
        raise QexploreError(f"The example must be a floating-point tensor, a batch of 1, not {given}.")
    if not bool(torch.isfinite(example).all()):
        raise QexploreError("The example holds NaN or infinite values; give a real input.")
    return example[:1].detach().clone()


def first_batch(data: Data) -> Batch:
    """One image of the data and its label, a batch of 1; QexploreError where there is none."""
    for part in ("calibration", "evaluation", "train"):
        if data.has(part):
            return next(data.batches(part, size=1, limit=1))
    raise QexploreError("The task has neither images nor an example; give data=qx.Data(calibration=…, evaluation=…).")


def _agree(example: Tensor, data: Data) -> None:
    """QexploreError where images that are at hand as tensors could not be inputs like the example."""
    for part in PARTS:
        images = getattr(data, part)
        if tensor_pair(images) and (images[0].dim(), images[0].shape[1]) != (example.dim(), example.shape[1]):
            raise QexploreError(
                f"The example has shape {list(example.shape)}, the {part} images {list(images[0].shape)}; "
                "they must have equal dimensions and channels."
            )


def _kind(value: object) -> str:
    return "nothing" if value is None else f"'{type(value).__name__}'"
