"""Faults planted on purpose in the digits networks: what is wrong, where, and what a diagnosis should call it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.ptq.batchnorm import affine_of
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.zoo.unbalance import factors, rescale

MOBILENET, RESNET, TWIN = "mobilenet-digits", "resnet-digits", "mobilenet-digits-unbalanced"


@dataclass(frozen=True)
class Plant:
    """A task and a recipe with one fault; causes: what it may be called; site: "" for the whole network; step: the step
    that is to blame.
    """

    task: qx.Task
    recipe: Recipe
    causes: tuple[str, ...]
    site: str = ""
    step: str = ""

    def named_in(self, diagnosis: qx.Diagnosis) -> bool:
        """Whether the diagnosis names the cause at the site."""
        return any(
            found.cause in self.causes and found.site == self.site and found.step == self.step
            for found in diagnosis.findings
        )


def prepared(task: str, recipe: str = "w8a8") -> Network:
    return prepare(qx.Task(task), Recipe.load(recipe))


def few_bits(task: str, site: str, recipe: str = "w8a8", bits: int = 2) -> Plant:
    """One site at two bits."""
    return Plant(qx.Task(task), _own(recipe, site, bits=bits), ("too-few-bits",), site)


def scaled_range(task: str, site: str, factor: float, recipe: str = "w8a8") -> Plant:
    """The range of one site far too wide or too narrow; a weight has one range for all its channels."""
    lo, hi = ends(prepared(task, recipe), site)
    causes = ("wide-range",) if factor > 1 else ("clipped-range",)
    return Plant(qx.Task(task), _own(recipe, site, range=[factor * lo, factor * hi]), causes, site)


def swapped_range(task: str, site: str, other: str, recipe: str = "w8a8") -> Plant:
    """One activation has the range of another."""
    network = prepared(task, recipe)
    (lo, hi), (low, high) = ends(network, site), ends(network, other)
    causes = ("clipped-range",) if low > lo / 2 or high < hi / 2 else ("wide-range",)
    return Plant(qx.Task(task), _own(recipe, site, range=[low, high]), causes, site)


def outlier_values(task: str, factor: float, recipe: str = "w8a8") -> Plant:
    """One calibration image far brighter than the others, and ranges that reach out to it."""
    opened = qx.Task(task)
    x, y = opened.data.tensors("calibration")
    x[0] *= factor
    data = qx.Data(calibration=(x, y), evaluation=opened.data.evaluation)
    method = Recipe.load(recipe).with_settings({"activation-ranges.method": "min-max"})
    return Plant(qx.Task(model=opened.model, data=data), method, ("outlier-values",), "input")


def unlike_images(task: str, factor: float, recipe: str = "w8a8") -> Plant:
    """Calibration images scaled other than those in use."""
    opened = qx.Task(task)
    x, y = opened.data.tensors("calibration")
    data = qx.Data(calibration=(factor * x, y), evaluation=opened.data.evaluation, interval=opened.data.interval)
    return Plant(qx.Task(model=opened.model, data=data), Recipe.load(recipe), ("unlike-images",))


def outlier_channel(block: int, channel: int, factor: float, recipe: str = "w8a8-per-tensor") -> Plant:
    """A channel inside a block of the ResNet made larger, and its readers smaller: in FP32 nothing changes."""

    def change(model: nn.Module) -> None:
        at = model.get_submodule(f"blocks.{block}")
        norm, reader = at.first.bn, at.second.conv
        for scaled in (norm.weight, norm.bias):
            scaled[channel] *= factor
        reader.weight[:, channel] /= factor

    site = f"blocks.{block}.first.conv.weight"
    return Plant(changed(RESNET, change), Recipe.load(recipe), ("outlier-channel",), site)


def biased_error(task: str, layer: str, norm: str, bits: int = 4) -> Plant:
    """The weights of a layer 0.45 steps above the points of their grid, so that nearest rounding takes 0.45 steps off
    each; the mean of the layer's output stays what it was.
    """
    opened = qx.Task(task)
    x, _ = opened.data.tensors("calibration")

    def change(model: nn.Module) -> None:
        conv, bn = model.get_submodule(layer), model.get_submodule(norm)
        before = _mean(model, norm, x)
        gain = affine_of(bn)[0].view(-1, 1, 1, 1)
        conv.weight.copy_(_leaning(conv.weight * gain, bits) / gain)
        bn.bias.add_(before - _mean(model, norm, x))

    site = f"{layer}.weight"
    recipe = Recipe.load("w4a8").with_settings({"weights.bits": bits, f"sites.{site}.method": "min-max"})
    return Plant(changed(task, change), recipe, ("biased-error",), site)


def tight_relu6(share: float) -> Plant:
    """Bounds of the non-linearities so low that they matter, and a recipe that drops them."""

    def change(model: nn.Module) -> None:
        for name, bound in model.named_buffers():
            if name.endswith("act.bound"):
                bound.mul_(share)

    recipe = Recipe.load("w8a8-per-tensor-equalized")
    return Plant(changed(TWIN, change), recipe, ("network-changed",), "", "replace-relu6")


def lying_moments(block: int, shift: float) -> Plant:
    """A batch norm whose β is not the mean of what it gives, with the same function: biases are absorbed that are not
    always there.
    """

    def change(model: nn.Module) -> None:
        norm = model.get_submodule(f"blocks.{block}.first.bn")
        norm.running_mean.add_(shift / affine_of(norm)[0])
        norm.bias.add_(shift)

    recipe = Recipe.load("corrected-w8a8-per-tensor").with_settings({"absorb-high-bias.method": "statistics"})
    return Plant(changed(RESNET, change), recipe, ("network-changed",), "", "absorb-high-bias")


def unbalanced(block: int, seed: int, recipe: str = "w8a8-per-tensor") -> Plant:
    """Channels of one more block rescaled, so that a grid for the tensor fails."""

    def change(model: nn.Module) -> None:
        inside = model.get_submodule(f"blocks.{block}")
        rescale(inside, factors(inside.expand.conv.out_channels, torch.Generator().manual_seed(seed)))

    site = f"blocks.{block}.depthwise.conv.weight"
    return Plant(changed(TWIN, change), Recipe.load(recipe), ("unbalanced-channels",), site)


def changed(task: str, change: Callable[[nn.Module], None]) -> qx.Task:
    """The task with a copy of its network changed in place."""
    opened = qx.Task(task)
    model = copy.deepcopy(opened.model)
    with torch.no_grad():
        change(model)
    return qx.Task(model=model, data=opened.data)


def ends(network: Network, site: str) -> tuple[float, float]:
    """Widest ends of a site's range."""
    interval = network.fitted(network.site(site), network.bits[site]).range
    return float(interval.lo.min()), float(interval.hi.max())


def _own(recipe: str, site: str, **own: object) -> Recipe:
    return Recipe.load(recipe).with_settings({f"sites.{site}.{key}": value for key, value in own.items()})


def _leaning(weight: Tensor, bits: int) -> Tensor:
    """Weights [out, …] at k + 0.45 steps of the min-max grid of their channel, whose largest one stays on it."""
    rows = weight.flatten(1)
    top = 2 ** (bits - 1) - 1
    step = rows.abs().amax(dim=1, keepdim=True) / top
    leaning = ((rows / step).floor() + 0.45) * step
    at = rows.abs().argmax(dim=1, keepdim=True)
    largest = torch.where(rows.gather(1, at) > 0, top * step, -(top + 1) * step)
    return leaning.scatter(1, at, largest).view_as(weight)


def _mean(model: nn.Module, norm: str, x: Tensor) -> Tensor:
    """Mean of each channel behind a batch norm."""
    seen: list[Tensor] = []
    handle = model.get_submodule(norm).register_forward_hook(lambda module, given, y: seen.append(y.clone()))
    model(x)
    handle.remove()
    return seen[0].mean(dim=(0, 2, 3))
