"""Faults planted at random: at least nine of ten are named."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

import qexplore as qx
from tests.debugging import plants
from tests.debugging.plants import MOBILENET, RESNET, Plant, ends, prepared

TIMES = 6
RECIPES = ("w8a8", "w8a8-per-tensor")


class Gardener:
    """Plants one fault of each kind at a time, at places drawn at random."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.networks = {task: prepared(task) for task in (MOBILENET, RESNET)}

    def kinds(self) -> dict[str, Callable[[], Plant]]:
        return {
            "weight at 2 bits": lambda: self.few_bits("weight"),
            "activation at 2 bits": lambda: self.few_bits("activation"),
            "swapped range": self.swapped,
            "wide range": lambda: self.scaled(50),
            "clipped range": lambda: self.scaled(self.draw.uniform(0.1, 0.25)),
            "clipped logits": self.logits,
            "outlier channel": self.outlier,
            "unbalanced channels": lambda: plants.unbalanced(self.draw.randrange(5), self.draw.randrange(1000)),
            "biased error": self.biased,
            "unlike images": lambda: plants.unlike_images(self.task(), self.draw.uniform(0.2, 0.4)),
            "lying moments": lambda: plants.lying_moments(self.draw.randrange(3), self.draw.uniform(4, 8)),
            "tight ReLU6": lambda: plants.tight_relu6(self.draw.uniform(0.25, 0.4)),
        }

    def task(self) -> str:
        return self.draw.choice((MOBILENET, RESNET))

    def site(self, task: str, *kinds: str) -> str:
        return self.draw.choice([site.name for site in self.networks[task].sites if site.kind in kinds])

    def few_bits(self, kind: str) -> Plant:
        task = self.task()
        return plants.few_bits(task, self.site(task, kind), self.draw.choice(RECIPES))

    def scaled(self, factor: float) -> Plant:
        task = self.task()
        site = self.site(task, "weight", "activation")
        return plants.scaled_range(task, site, factor, self.draw.choice(RECIPES))

    def swapped(self) -> Plant:
        """The range of another activation that ends four times lower or sixteen times higher."""
        task = self.task()
        while True:
            first, second = self.site(task, "activation"), self.site(task, "activation")
            high, other = (ends(self.networks[task], site)[1] for site in (first, second))
            if other < high / 4 or other > high * 16:
                return plants.swapped_range(task, first, second)

    def logits(self) -> Plant:
        return plants.scaled_range(self.task(), "classifier.out", self.draw.uniform(0.1, 0.3))

    def outlier(self) -> Plant:
        block = self.draw.randrange(3)
        return plants.outlier_channel(block, self.draw.randrange((16, 32, 48)[block]), 2.0 ** self.draw.randint(6, 9))

    def biased(self) -> Plant:
        """Behind a ReLU, where inputs have a mean."""
        task = self.task()
        names = {MOBILENET: [f"blocks.{i}.project" for i in range(5)], RESNET: ["blocks.0.first", "blocks.0.second"]}
        names[RESNET] += ["blocks.1.first", "blocks.1.second", "blocks.2.first", "blocks.2.second"]
        name = self.draw.choice(names[task])
        return plants.biased_error(task, f"{name}.conv", f"{name}.bn", self.draw.choice((4, 5)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nine_of_ten_faults_at_random_places_are_named() -> None:
    gardener, named, missed = Gardener(0), Counter[str](), []
    for kind, plant in gardener.kinds().items():
        for seed in range(TIMES):
            planted = plant()
            found = qx.debug(planted.task, planted.recipe, seed, measure_fixes=False)
            named[kind] += planted.named_in(found)
            if not planted.named_in(found):
                missed.append((kind, planted.site, [(one.cause, one.site, one.step) for one in found.findings]))
    print(*(f"{kind}: {count} of {TIMES}" for kind, count in named.items()), *missed, sep="\n")
    assert named.total() >= 0.9 * TIMES * len(gardener.kinds())
