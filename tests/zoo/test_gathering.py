"""Training reads images by their numbers: the same ones that come in order, whatever they lie in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.runs.few import Few
from qexplore.zoo import BadData
from qexplore.zoo.pictures import open_data
from tests.zoo.album_makers import RGB, folder_of
from tests.zoo.test_data import FORMS, images

STREAMS = ("stream", "loader of a stream", "unbatched loader")


@pytest.mark.parametrize("form", [form for form in FORMS if form not in STREAMS])
@given(count=st.integers(1, 12), draw=st.data())
def test_every_form_gives_the_images_of_the_numbers_asked_for(form: str, count: int, draw: st.DataObject) -> None:
    x, y = images(count)
    index = draw.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=15))
    for asked in (index, torch.tensor(index)):
        got = qx.Data(train=FORMS[form](x, y)).batch_of("train", asked)
        assert torch.equal(got[0], x[index])
        assert torch.equal(got[1], y[index])


@pytest.mark.parametrize("form", STREAMS)
def test_a_stream_cannot_be_shuffled_and_says_so(form: str) -> None:
    with pytest.raises(BadData, match=r"train images come as a stream.*give a Dataset with __getitem__") as told:
        qx.Data(train=FORMS[form](*images(6))).batch_of("train", [0])
    assert "\n" not in str(told.value)


def test_what_is_given_is_the_callers_own_and_no_random_number_is_drawn() -> None:
    x, y = images(6)
    for part in ((x.clone(), y), TensorDataset(x.clone(), y)):
        data, before = qx.Data(train=part), torch.get_rng_state()
        data.batch_of("train", [1, 2])[0].zero_()
        assert torch.equal(data.batch_of("train", [1, 2])[0], x[1:3])
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("index", [[6], [-1], [0, 99], [], [0.5], [[0]], [True]])
def test_numbers_that_no_image_has_are_refused_in_one_sentence(index: list) -> None:
    with pytest.raises(QexploreError, match=r"has no image|asked for by a list of whole numbers") as told:
        qx.Data(train=images(6)).batch_of("train", index)
    assert "\n" not in str(told.value)


def test_a_part_cut_short_gives_none_of_the_rest() -> None:
    few = Few(qx.Data(train=images(9)), 4)
    assert torch.equal(few.batch_of("train", [3])[1], torch.tensor([3]))
    with pytest.raises(QexploreError, match="no image 4; its 4 images"):
        few.batch_of("train", [4])


def test_images_of_two_shapes_are_told_as_everywhere() -> None:
    part = [(torch.zeros(1, 2, 2), 0), (torch.zeros(1, 3, 3), 1)]
    with pytest.raises(BadData, match="train images differ in shape"):
        qx.Data(train=part).batch_of("train", [0, 1])


def test_a_loaders_own_way_to_stack_is_used() -> None:
    def doubled(items: list) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([2 * x for x, _ in items]), torch.stack([y for _, y in items])

    x, y = images(5)
    data = qx.Data(train=DataLoader(TensorDataset(x, y), batch_size=2, shuffle=True, collate_fn=doubled))
    assert torch.equal(data.batch_of("train", [4, 0])[0], 2 * x[[4, 0]])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = folder_of(tmp_path / "place" / "train", {"cat": 8, "dog": 8})
    folder_of(tmp_path / "place" / "test", {"cat": 2, "dog": 2})
    return root


def test_pictures_come_by_number_as_they_come_in_order(pictures: Path) -> None:
    data = open_data(f"folder:{pictures.parent}", RGB, calibration=4)
    x, y = data.tensors("train")
    index = [5, 0, 5, len(y) - 1]
    got = data.batch_of("train", index)
    assert torch.equal(got[0], x[index])
    assert torch.equal(got[1], y[index])
    told = data.relabelled([1, 0]).batch_of("train", index)[1]
    assert torch.equal(told, 1 - y[index])


def test_pictures_that_cannot_be_read_have_no_number_in_any_process(pictures: Path) -> None:
    for file in ("cat/0001.png", "dog/0009.png"):
        (pictures / file).write_bytes((pictures / file).read_bytes()[:60])
    data = open_data(f"folder:{pictures.parent}", RGB, calibration=4)
    x, y = open_data(f"folder:{pictures.parent}", RGB, calibration=4).tensors("train")
    got = data.batch_of("train", range(len(y)))
    assert torch.equal(got[0], x)
    assert torch.equal(got[1], y)
    assert data.count("train") == len(y)
    with pytest.raises(QexploreError, match=f"no image {len(y)}; its {len(y)} images"):
        data.batch_of("train", [len(y)])


def test_a_part_without_one_readable_picture_is_named(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "place" / "train", {"cat": 4, "dog": 4})
    folder_of(tmp_path / "place" / "test", {"cat": 1, "dog": 1})
    data = open_data(f"folder:{root.parent}", RGB, calibration=2)
    for file in root.rglob("*.png"):
        Image.new("RGB", (8, 6)).save(file)
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(BadData):
        data.batch_of("train", [0])
