"""The networks that benches are taken on."""

from __future__ import annotations

import torch

from qexplore.zoo import Data, Task

DIGITS = ("resnet-digits", "mobilenet-digits")
MOBILENET = "mobilenet_v2-224"
RESNET = "resnet50-224"
LARGE = (MOBILENET, RESNET)
SUBJECTS = (*DIGITS, MOBILENET)


def subject(name: str, images: int = 32) -> Task:
    """A task of the zoo, or torchvision's MobileNetV2 or ResNet50 with random weights on random images at 224 × 224."""
    if name not in LARGE:
        return Task(name)
    from torchvision import models

    build = models.mobilenet_v2 if name == MOBILENET else models.resnet50
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(weights=None)
        part = (torch.randn(images, 3, 224, 224), torch.randint(1000, (images,)))
    return Task(model=model, data=Data(calibration=part, evaluation=part), name=name)
