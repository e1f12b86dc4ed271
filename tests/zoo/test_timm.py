"""Networks by timm's names, with a small module in timm's place: which one is made, with which weights and images."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from qexplore.errors import QexploreError, UnknownName
from qexplore.zoo import CheckpointError
from qexplore.zoo.networks import open_network
from qexplore.zoo.preprocessing import Preprocessing
from tests.zoo.own_parts import network

CONFIG = {
    "input_size": (3, 24, 24),
    "crop_pct": 0.75,
    "interpolation": "bicubic",
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.3, 0.4),
}


class Timm(ModuleType):
    """The calls of timm that open_timm makes, for one model "tiny"; its published weights are all 0.25."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__("timm")
        self.data = SimpleNamespace(resolve_data_config=lambda args, model: config)
        self.reachable = True

    def is_model(self, name: str) -> bool:
        return name == "tiny"

    def list_models(self) -> list[str]:
        return ["tiny"]

    def create_model(self, name: str, pretrained: bool = False, num_classes: int = 5) -> nn.Module:
        model = network(num_classes).train()
        if pretrained and not self.reachable:
            raise ConnectionError("no route\nto the hub.")
        if pretrained:
            for parameter in model.parameters():
                nn.init.constant_(parameter, 0.25)
        return model


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Timm:
    module = Timm(dict(CONFIG))
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def test_a_name_alone_has_the_published_weights(timm: Timm) -> None:
    opened = open_network("timm:tiny")
    assert all(bool((value == 0.25).all()) for value in opened.module.state_dict().values())
    assert (opened.source, opened.weights, opened.classes) == ("timm:tiny", "published", None)
    assert not opened.module.training


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone(timm: Timm) -> None:
    before = torch.get_rng_state()
    first, second = (open_network("timm:tiny@random") for _ in range(2))
    state = second.module.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), before)
    assert first.weights == "random"


@pytest.mark.parametrize("classes", [5, 7])
def test_ones_own_weights_may_have_a_head_of_their_own(timm: Timm, classes: int, tmp_path: Path) -> None:
    torch.manual_seed(9)
    mine = network(classes).state_dict()
    torch.save({"state_dict": {f"module.model.{name}": value for name, value in mine.items()}}, tmp_path / "mine.pth")
    timm.reachable = False  # nothing is fetched for weights of one's own
    opened = open_network("timm:tiny", tmp_path / "mine.pth")
    assert all(torch.equal(value, mine[name]) for name, value in opened.module.state_dict().items())
    assert opened.weights == "mine.pth"
    assert any("'state_dict' of mine.pth" in note for note in opened.notes)


def test_weights_of_another_network_are_refused(timm: Timm, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="another architecture than timm:tiny"):
        open_network("timm:tiny", tmp_path / "other.pth")


def test_images_are_prepared_as_the_models_settings_say(timm: Timm) -> None:
    found = open_network("timm:tiny").preprocessing
    assert found == Preprocessing(3, 32, (24, 24), CONFIG["mean"], CONFIG["std"], "bicubic")
    assert found.decode(Image.new("RGB", (50, 40))).shape == (3, 24, 24)


@pytest.mark.parametrize(
    ("other", "resize"),
    [
        ({"crop_mode": "squash"}, (32, 32)),
        ({"input_size": (3, 24, 48)}, (32, 64)),
        ({"crop_pct": None}, 24),
        ({"crop_pct": 1.0, "crop_mode": "center"}, 24),
    ],
)
def test_the_size_before_the_cut_is_what_the_settings_say(timm: Timm, other: dict[str, Any], resize: object) -> None:
    config = CONFIG | other
    timm.data.resolve_data_config = lambda args, model: config
    found = open_network("timm:tiny@random").preprocessing
    assert found is not None
    assert (found.resize, found.crop) == (resize, config["input_size"][1:])


def test_names_that_mean_nothing_get_one_sentence(timm: Timm) -> None:
    with pytest.raises(UnknownName, match="no timm model 'tinny'; did you mean 'tiny'"):
        open_network("timm:tinny")
    with pytest.raises(QexploreError, match=r"names weights within the model's name.*'timm:tiny@v2'"):
        open_network("timm:tiny@v2")


def test_weights_that_cannot_be_fetched_are_told_with_the_ways_out(timm: Timm) -> None:
    timm.reachable = False
    with pytest.raises(QexploreError, match=r"timm:tiny could not be had \(no route to the hub\).*timm:tiny@random"):
        open_network("timm:tiny")


def test_offline_means_offline_for_timms_hub_too(timm: Timm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # so that it is put back
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("QEXPLORE_OFFLINE", "1")
    open_network("timm:tiny")
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(QexploreError, match=r"pip install 'qexplore\[timm\]'"):
        open_network("timm:tiny")
