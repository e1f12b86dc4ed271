"""How much a profile measures: everything where the network is quick, less where its author could not wait for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.recipes import POST_TRAINING, Recipe, presets
from qexplore.runs.few import Few
from qexplore.runs.profiles import PARTS
from qexplore.zoo import Task

PATIENCE = 600.0  # seconds that the measurements on images may take, as estimated
EVERYWHERE = 110  # evaluations of the table of estimators that serve all sites
POINTS = 126  # evaluations of the measured allocations, most of them on two parts
SITE_METHODS = 6  # estimators that can serve a site, and the recipe's own
TIMED, ROUNDS = 8, 4  # images, and how often they are timed
DIAGNOSES = ("w3a3-per-tensor", "w8a8-per-tensor", "w4a4-per-tensor", "w8a8")
ABLATIONS = tuple(name for name in presets(POST_TRAINING) if name.endswith("-w8a8-per-tensor"))
SHORT = ("w8a8", "w8a8-per-tensor", "w4a8", "w4a4")


@dataclass(frozen=True)
class Extent:
    """images: of a part, for every measurement but the FP32 accuracy and the calibration of the network itself (None:
    all); by_site: numbers of bits at which every estimator is measured at every site; everywhere: whether each
    estimator is measured at all sites at once; measured: whether the metrics are that quantize one site at a time; the
    rest: names of presets.
    """

    images: int | None
    presets: tuple[str, ...]
    ablations: tuple[str, ...] = ABLATIONS
    diagnoses: tuple[str, ...] = DIAGNOSES
    by_site: tuple[int, ...] = (2, 3, 4)
    everywhere: bool = True
    measured: bool = True

    def passes(self, sites: int, menu: int) -> float:
        """How often the network is carried out on each image, roughly."""
        recipes = 6 * len(self.presets) + 20 * len(self.ablations) + (sites + 12) * len(self.diagnoses)
        by_site = SITE_METHODS * sites * len(self.by_site)
        return POINTS + recipes + by_site + EVERYWHERE * self.everywhere + 0.6 * sites * menu * self.measured + 8

    @property
    def left_out(self) -> list[str]:
        """What is not measured, in words."""
        return [words for part, words in PARTS.items() if not getattr(self, part)]


def quick_presets() -> tuple[str, ...]:
    """Presets that are carried out in a second or so: those that learn no rounding."""
    return tuple(name for name in presets(POST_TRAINING) if "adaround" not in Recipe.load(name).optional)


def extent(spec: dict[str, Any], task: Task, network: Network, menu: int) -> Extent:
    """What `spec` asks for; where it does not say, what can be measured with PATIENCE (project's own choice), or with
    "complete" everything, however long it takes.
    """
    images = spec.get("images")
    if images is not None and (not isinstance(images, int) or isinstance(images, bool) or images < 1):
        raise QexploreError(f"The number of images is a whole number from 1 on; not {images!r}.")
    most = max(task.data.count(part) for part in ("calibration", "evaluation"))
    cost, sites = seconds_an_image(task), len(network.sites)
    for found in _menu(images):
        if spec.get("complete") or cost * min(most, found.images or most) * found.passes(sites, menu) <= PATIENCE:
            break
    wanted = _all_presets() | spec if spec.get("everything") else spec
    chosen = {key: tuple(wanted[key]) for key in ("presets", "ablations", "diagnoses") if key in wanted}
    found = replace(found, **chosen)  # type: ignore[arg-type]
    return replace(found, images=None) if found.images is not None and found.images >= most else found


def _all_presets() -> dict[str, Any]:
    plain = [name for name in presets(POST_TRAINING) if not Recipe.load(name).optional]
    return {"presets": presets(POST_TRAINING), "ablations": presets(POST_TRAINING), "diagnoses": plain}


def few(task: Task, images: int | None) -> Task:
    """The task with at most so many images a part."""
    if images is None:
        return task
    return Task(model=task.model, data=Few(task.data, images), example=task.example, name=f"{task.name} ({images})")


def seconds_an_image(task: Task) -> float:
    """Time of the FP32 network on one image, in a batch; the shortest of a few, which others on the machine disturb
    least.
    """
    x, _ = next(task.data.batches("evaluation", size=TIMED, limit=TIMED))
    times = []
    with torch.no_grad():  # not in inference mode: see `judge`
        for _ in range(ROUNDS):
            clock = time.perf_counter()
            task.model(x)
            times.append(time.perf_counter() - clock)
    return min(times) / len(x)


def _menu(images: int | None) -> list[Extent]:
    """From everything to the least; `images` holds for all where it is given."""
    everything = Extent(images, quick_presets())
    fewer = replace(everything, by_site=())
    short = replace(fewer, presets=SHORT, ablations=(), diagnoses=("w8a8-per-tensor",))
    least = Extent(images, SHORT[:1], (), (), (), everywhere=False, measured=False)
    if images is not None:
        return [everything, fewer, short, replace(short, diagnoses=(), everywhere=False), least]
    return [
        everything,
        replace(everything, images=1000),
        replace(everything, images=500),
        replace(fewer, images=500),
        replace(short, images=256),
        replace(short, images=128, diagnoses=(), everywhere=False),
        replace(least, images=128),
        replace(least, images=32),
    ]
