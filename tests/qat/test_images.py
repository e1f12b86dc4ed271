"""How training images are moved: as the recipe says, or as is usual with the task's images."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import qexplore as qx
from qexplore.ptq import Calibration
from qexplore.qat.images import Images, moves_of
from qexplore.qat.settings import Settings
from qexplore.zoo.augmentation import STILL, Moves
from qexplore.zoo.digits import digits

USUAL = Moves(shift=3, flip=True)


@pytest.mark.parametrize(
    ("settings", "moves"),
    [
        ({}, USUAL),
        ({"shift": None, "flip": None}, USUAL),
        ({"shift": 0}, Moves(0, True)),
        ({"flip": False}, Moves(3, False)),
        ({"shift": 0, "flip": False}, STILL),
        ({"shift": 1, "flip": True}, Moves(1, True)),
    ],
)
def test_what_a_recipe_does_not_say_is_as_usual_with_the_images(settings: dict[str, Any], moves: Moves) -> None:
    assert moves_of(Settings(**settings), USUAL) == moves


def batch(data: qx.Data, **settings: Any) -> torch.Tensor:
    return next(Images(Calibration(data, seed=3), Settings(**settings)).epoch(0))[0]


def test_digits_move_by_a_pixel_and_images_of_ones_own_not_at_all() -> None:
    data = digits()
    own = qx.Data(train=data.tensors("train"))
    still = batch(data, shift=0, flip=False)
    assert torch.equal(batch(data), batch(data, shift=1, flip=False))
    assert not torch.equal(batch(data), still)
    assert torch.equal(batch(own), still)
    assert torch.equal(batch(qx.Data(train=data.tensors("train"), moves=USUAL)), batch(data, shift=3, flip=True))
