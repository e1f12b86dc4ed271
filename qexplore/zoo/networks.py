"""Networks by what a user calls them: one of the zoo, torchvision:<model>, timm:<model>, or a factory in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.zoo.entries import ENTRIES
from qexplore.zoo.preprocessing import Preprocessing

RANDOM = "random"  # in place of a name of weights: fresh ones, always the same


@dataclass(frozen=True)
class Opened:
    """A network in eval mode and what is known about it.

    preprocessing: what its images go through; None where nobody says.
    classes: names of its outputs, in order; None where they are not known.
    source: its full name; weights: where they come from ("random", a file's or an enumeration's name).
    segmentation: whether it gives a class for each pixel, [N, classes, H, W].
    notes: sentences on what was changed or chosen when the weights were read.
    """

    module: nn.Module
    preprocessing: Preprocessing | None
    classes: tuple[str, ...] | None
    source: str
    weights: str
    segmentation: bool = False
    notes: tuple[str, ...] = ()


def open_network(
    source: str, weights: str | Path | None = None, *, local: bool = False, report: Report | None = None
) -> Opened:
    """The network called `source`, with the weights of a file where `weights` names one.

    source: a name of the zoo; "torchvision:NAME[@WEIGHTS]" with WEIGHTS of the model's own enumeration (its default
    where none is named) or "random"; "timm:NAME[@random]"; and only where `local`, because it runs the user's code,
    "module.py:factory" or "package.module:factory".
    Raises QexploreError for names that mean nothing and weights that cannot be had, CheckpointError for weights that
    do not fit.
    """
    from qexplore.zoo import local_networks, timm_networks, torchvision_networks, zoo_networks

    report, file = report or Report(), None if weights is None else Path(weights)
    if not isinstance(source, str):
        raise QexploreError(f"For qexplore a network is a name or a torch.nn.Module, not {type(source).__name__!r}.")
    family, colon, name = source.partition(":")
    if not colon and source in ENTRIES:
        opened = zoo_networks.open_zoo(source, file)
    elif family == "torchvision":
        opened = torchvision_networks.open_torchvision(name, file, report)
    elif family == "timm":
        opened = timm_networks.open_timm(name, file)
    elif colon and local:
        opened = local_networks.open_local(source, file)
    else:
        raise QexploreError(_unknown(source, local))
    opened.module.eval()
    return opened


def _unknown(source: str, local: bool) -> str:
    ways = f"one of the zoo ({', '.join(ENTRIES)}), torchvision:<model>, timm:<model>"
    if source.partition(":")[1] and not local:
        return f"The network {source!r} would run a file of code, which only the command line may; name {ways}."
    return f"There is no network {source!r}: name {ways}, or on the command line module.py:factory."
