"""The zoo as data: what there is to quantize, and where its parts are found. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qexplore.registry import Registry


@dataclass(frozen=True)
class Entry:
    """One task: of the zoo, or a user's own.

    build, data and train are "module:function", resolved when the task is opened or trained.
    build() -> nn.Module with fresh weights; data() -> Data; train(entry, seed, report, work) -> trained nn.Module,
    work being a qexplore.zoo.keeping.Work.
    lies_in: "module:function" too, of a pathlib.Path -> whether the images of the task are in that folder; empty where
    they come with qexplore.
    own: whether a user has added it; then these four are empty, and source is the document that says what it is made
    of (see qexplore.zoo.own).
    """

    name: str
    title: str
    description: str
    teaches: str = ""
    build: str = ""
    data: str = ""
    train: str = ""
    checkpoint: str = ""
    lies_in: str = ""
    base: str | None = None
    made_on_purpose: str | None = None
    own: bool = False
    source: Mapping[str, Any] | None = field(default=None, hash=False)


ENTRIES: Registry[Entry] = Registry("task")


def resolve(path: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


for _entry in (
    Entry(
        name="mobilenet-digits",
        title="MobileNet on digits",
        description="Inverted residuals with depthwise 3×3 convolutions, batch norms and ReLU6 for 8×8 digits.",
        teaches="Depthwise layers have few weights a channel and differing ranges: they suffer first from few bits.",
        build="qexplore.zoo.models.mobilenet:mobilenet_digits",
        data="qexplore.zoo.digits:digits",
        train="qexplore.zoo.fitting:fit_entry",
        checkpoint="mobilenet-digits.safetensors",
    ),
    Entry(
        name="resnet-digits",
        title="ResNet on digits",
        description="Three residual blocks of 3×3 convolutions, batch norms and ReLU; 8×8 handwritten digits.",
        teaches="Wide, regular layers forgive a lot; residual additions need grids on both branches.",
        build="qexplore.zoo.models.resnet:resnet_digits",
        data="qexplore.zoo.digits:digits",
        train="qexplore.zoo.fitting:fit_entry",
        checkpoint="resnet-digits.safetensors",
    ),
    Entry(
        name="mobilenet-digits-unbalanced",
        title="MobileNet on digits, unbalanced on purpose",
        description="The same function as mobilenet-digits; a fifth of the expanded channels 4 to 256 times smaller.",
        teaches="One grid for a whole tensor fails when its channels differ; cross-layer equalization repairs it.",
        build="qexplore.zoo.models.mobilenet:mobilenet_digits_rescalable",
        data="qexplore.zoo.digits:digits",
        train="qexplore.zoo.unbalance:unbalanced_entry",
        checkpoint="mobilenet-digits-unbalanced.safetensors",
        base="mobilenet-digits",
        made_on_purpose="Made so on purpose: the imbalance was put into mobilenet-digits for the classroom.",
    ),
    Entry(
        name="resnet20-cifar10",
        title="ResNet-20 on CIFAR-10",
        description="Nine residual blocks of 3×3 convolutions, batch norms and ReLU for 32×32 colour photographs.",
        teaches="A real task with room to lose: what the digits forgive at 4 bits costs points here.",
        build="qexplore.zoo.models.resnet:resnet20_cifar10",
        data="qexplore.zoo.cifar:cifar10",
        train="qexplore.zoo.cifar:fit_resnet20",
        checkpoint="resnet20-cifar10.safetensors",
        lies_in="qexplore.zoo.cifar:lies_in",
    ),
    Entry(
        name="mobilenetv2-cifar10",
        title="MobileNetV2 on CIFAR-10",
        description="Eight inverted residuals with depthwise convolutions and ReLU6 for 32×32 colour photographs.",
        teaches="The classic hard case: depthwise layers with unequal channels on real photographs.",
        build="qexplore.zoo.models.mobilenet:mobilenetv2_cifar10",
        data="qexplore.zoo.cifar:cifar10",
        train="qexplore.zoo.cifar:fit_mobilenetv2",
        checkpoint="mobilenetv2-cifar10.safetensors",
        lies_in="qexplore.zoo.cifar:lies_in",
    ),
):
    ENTRIES.register(_entry.name)(_entry)
