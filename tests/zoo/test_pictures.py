"""Pictures become the images of a task: fairly split, as the network wants them, decoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import MNIST, ImageFolder

from qexplore.report import Event, Report
from qexplore.zoo import BadData, decoding
from qexplore.zoo.data import PARTS, Data
from qexplore.zoo.errors import DataAbsent
from qexplore.zoo.pictures import open_data
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.splits import fair, parted
from tests.zoo.album_makers import GREY, RGB, digits_of_mnist, folder_of, picture


def rows(data: Data, part: str) -> set[bytes]:
    return {x.numpy().tobytes() for x in data.tensors(part)[0]}


def same(a: Data, b: Data, part: str) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a.tensors(part), b.tensors(part)))


def shares(y: Tensor, classes: int) -> Tensor:
    return torch.bincount(y, minlength=classes) / len(y)


def test_a_folder_with_train_and_test_keeps_the_test_part_for_evaluation(place: Path) -> None:
    folder_of(place / "train", {"cat": 20, "dog": 10})
    folder_of(place / "test", {"cat": 4, "dog": 8}, (8, 6), "bmp")
    data = open_data(f"folder:{place}", RGB, calibration=6)
    assert {part: data.count(part) for part in PARTS} == {"train": 24, "calibration": 6, "evaluation": 12}
    assert data.classes == ("cat", "dog")
    assert torch.bincount(data.tensors("calibration")[1]).tolist() == [4, 2]
    wanted = {RGB.normalize(RGB.decode(x)[None]).numpy().tobytes() for x, _ in ImageFolder(str(place / "test"))}
    assert rows(data, "evaluation") == wanted
    assert not rows(data, "train") & rows(data, "calibration")
    assert len(rows(data, "train") | rows(data, "calibration")) == 30


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "valid"), ("training_set", "test_set"), ("Train", "Validation"), ("Training", "Testing")],
)
def test_the_usual_names_of_parts_are_no_classes(train: str, test: str, place: Path) -> None:
    folder_of(place / train, {"cat": 6, "dog": 6})
    folder_of(place / test, {"cat": 3, "dog": 2})
    data = open_data(str(place), RGB)
    assert data.classes == ("cat", "dog")
    assert data.count("evaluation") == 5


def test_a_part_for_testing_without_classes_is_passed_over_for_one_with_them(place: Path) -> None:
    folder_of(place / "train", {"cat": 6, "dog": 6})
    folder_of(place / "val", {"cat": 3, "dog": 2})
    (place / "test").mkdir()
    picture(0).save(place / "test" / "0.png")
    assert open_data(str(place), RGB).count("evaluation") == 5


def test_what_programs_leave_in_a_folder_is_no_class(place: Path) -> None:
    folder_of(place, {"cat": 6, "dog": 6, ".thumbs": 3, "__MACOSX": 3, "@eaDir": 3})
    folder_of(place / "cat", {".thumbs": 3})
    data = open_data(str(place), RGB)
    assert data.classes == ("cat", "dog")
    assert data.count("calibration") + data.count("evaluation") == 12


def test_one_pool_is_cut_into_calibration_and_evaluation(place: Path) -> None:
    data = open_data(str(folder_of(place, {"a": 20, "b": 30})), RGB, seed=3)
    assert not data.has("train")
    assert (data.count("calibration"), data.count("evaluation")) == (10, 40)
    assert "Calibration takes 10 of 50 images" in data.notices[0]
    again, other = (open_data(str(place), RGB, seed=seed) for seed in (3, 4))
    assert same(data, again, "evaluation")
    assert not same(data, other, "calibration")


@pytest.mark.parametrize("sizes", [(50, 50, 50), (90, 9, 1), (1, 1)])
def test_every_beginning_of_a_part_holds_the_classes_in_proportion(sizes: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    order = fair(labels, seed=5)
    assert sorted(order) == list(range(len(labels)))
    for count in range(1, len(labels) + 1):
        held = np.bincount(labels[order[:count]], minlength=len(sizes))
        assert np.abs(held - count * np.array(sizes) / len(labels)).max() <= 1
    assert not np.array_equal(order, fair(labels, seed=6)) or len(labels) < 3


def test_which_classes_come_first_is_drawn_and_not_in_the_order_of_their_names() -> None:
    first = [int(fair(np.arange(100), seed)[0]) for seed in range(20)]
    assert len(set(first)) > 10


def test_parts_are_disjoint_and_complete_for_any_sizes() -> None:
    for count, wanted in ((2, 1024), (7, 1), (1000, 128), (6000, 1024)):
        labels = np.arange(count) % 3
        parts = parted(labels, None, 2**60, wanted)
        assert sorted([*parts.calibration, *parts.evaluation]) == list(range(count))
        assert len(parts.calibration) == max(1, min(wanted, count // 5))
        assert bool(parts.notices) == (wanted > count // 5 or count < 5)


def test_pictures_are_prepared_as_the_preset_does_it(place: Path) -> None:
    from torchvision.models import ResNet18_Weights

    preset = ResNet18_Weights.DEFAULT.transforms()
    preprocessing = Preprocessing.of_torchvision(preset)
    folder_of(place, {"a": 3, "b": 3}, (300, 280))
    data = open_data(str(place), preprocessing)
    wanted = {preset(x).numpy().tobytes() for x, _ in ImageFolder(str(place))}
    assert rows(data, "evaluation") | rows(data, "calibration") == wanted
    least, greatest = data.interval or (0, 0)
    black, white = (torch.full((1, 3, 1, 1), value, dtype=torch.uint8) for value in (0, 255))
    assert float(preprocessing.normalize(black).min()) == least
    assert float(preprocessing.normalize(white).max()) == greatest


def test_grey_files_become_rgb_and_colour_files_grey_for_the_network_that_wants_it(place: Path) -> None:
    for name in ("a", "b"):
        (place / name).mkdir()
        for i in range(3):
            picture(i, channels=1).save(place / name / f"{i}.png")
    x, _ = open_data(str(place), RGB).tensors("evaluation")
    assert x.shape[1:] == (3, 6, 8)
    assert torch.equal(x[:, 0], x[:, 2])
    folder_of(place, {"a": 3, "b": 3})
    assert open_data(str(place), GREY).tensors("evaluation")[0].shape[1] == 1


def test_sixteen_bit_grey_pictures_keep_their_upper_byte(place: Path) -> None:
    values = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    Image.fromarray(values).save(place / "deep.png")
    with Image.open(place / "deep.png") as deep:
        assert GREY.decode(deep)[0].tolist() == [[0, 0, 1], [128, 255, 255]]


def test_grey_pictures_of_32_bits_are_not_black(place: Path) -> None:
    values = np.array([[0, 7, 255]], np.int32)
    Image.fromarray(values).save(place / "small.tif")
    Image.fromarray(values * 257).save(place / "deep.tif")
    Image.fromarray(values.astype(np.float32) / 255).save(place / "real.tif")
    for name in ("small.tif", "deep.tif"):
        with Image.open(place / name) as picture:
            assert GREY.decode(picture)[0].tolist() == [[0, 7, 255]]
    with (
        Image.open(place / "real.tif") as real,
        pytest.raises(ValueError, match="floating-point numbers; save it with"),
    ):
        GREY.decode(real)


def test_a_thread_of_a_picture_is_skipped_and_not_blown_up(place: Path) -> None:
    folder_of(place, {"a": 3, "b": 3})
    Image.new("RGB", (1, 3000)).save(place / "a" / "thread.png")
    data = open_data(str(place), Preprocessing(3, 256, 224, (0.5,) * 3, (0.5,) * 3))
    data.prepare()
    assert [reason for _, reason in data.skipped] == ["resized from 1 × 3000 pixels it has more than 50,000,000"]


def test_masks_of_one_bit_have_borders_that_do_not_count() -> None:
    mask = Image.fromarray(np.array([[True, False], [False, True]]))
    numbers = Preprocessing(3, None, (4, 2), (0.5,) * 3, (0.5,) * 3).decode_mask(mask)
    assert numbers.tolist() == [[255, 255], [1, 0], [0, 1], [255, 255]]


def test_masks_of_black_and_white_are_told(place: Path) -> None:
    for inner in ("images", "masks"):
        (place / inner).mkdir()
    for i in range(4):
        picture(i, (6, 6)).save(place / "images" / f"{i}.png")
        Image.fromarray(np.eye(6, dtype=np.uint8) * 255).save(place / "masks" / f"{i}.png")
    told = "hold only 0 and 255, and pixels of 255 are not counted: where it means the foreground, write it as 1."
    assert told in " ".join(open_data(str(place), RGB, classes=2).notices)
    Image.fromarray(np.eye(6, dtype=np.uint8)).save(place / "masks" / "3.png")
    assert told not in " ".join(open_data(str(place), RGB, classes=2).notices)
    arrays = {"x": np.zeros((4, 6, 6, 3), np.uint8), "y": np.stack([np.eye(6, dtype=np.uint8) * 255] * 4)}
    np.savez(place / "masks.npz", **arrays)
    assert told in " ".join(open_data(str(place / "masks.npz"), RGB, classes=2).notices)


def test_no_picture_is_decoded_twice(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(place, {"a": 12, "b": 12})
    first = open_data(str(place), RGB)
    first.tensors("evaluation", limit=5)
    decoded: list[int] = []
    fill = decoding._fill
    monkeypatch.setattr(decoding, "_fill", lambda work: decoded.append(work[3]) or fill(work))
    first.prepare(Report(), ("evaluation",))
    assert len(decoded) == len(set(decoded)) == first.count("evaluation") - 5
    decoded.clear()
    again = open_data(str(place), RGB)
    assert same(first, again, "evaluation")
    assert decoded == []
    another = Preprocessing(3, 7, 5, (0.5,) * 3, (0.25,) * 3)
    assert open_data(str(place), another).tensors("evaluation", limit=2)[0].shape == (2, 3, 5, 5)
    assert len(decoded) == 2


def test_a_changed_file_is_decoded_anew(place: Path) -> None:
    folder_of(place, {"a": 1, "b": 1})
    before = open_data(str(place), RGB).tensors("evaluation")[0]
    for path in place.glob("*/*"):
        picture(77).save(path)
    after = open_data(str(place), RGB).tensors("evaluation")[0]
    assert not torch.equal(before, after)


@pytest.mark.parametrize(("size", "limit"), [(1, None), (7, 20), (64, None), (1000, 3)])
def test_batches_hold_the_same_images_at_any_size(place: Path, size: int, limit: int | None) -> None:
    data = open_data(str(folder_of(place, {"a": 15, "b": 16})), RGB)
    whole, labels = data.tensors("evaluation", limit)
    got = list(data.batches("evaluation", size, limit))
    assert [len(x) for x, _ in got[:-1]] == [size] * (len(got) - 1)
    assert torch.equal(torch.cat([x for x, _ in got]), whole)
    assert torch.equal(torch.cat([y for _, y in got]), labels)
    got[0][0].zero_()
    assert torch.equal(data.tensors("evaluation", limit)[0], whole)


def test_decoding_tells_its_progress_and_what_it_skipped(place: Path) -> None:
    folder_of(place, {"a": 5, "b": 5})
    (place / "a" / "0000.png").write_bytes(b"no picture")
    events: list[Event] = []
    open_data(str(place), RGB, calibration=2).prepare(Report(events.append))
    steps = [(e["done"], e["total"]) for e in events if e["event"] == "progress" and "evaluation" in e["text"]]
    assert steps[0][0] == 0
    assert steps[-1][1] == 8
    (skipped,) = [e for e in events if e["event"] == "skipped"]
    assert skipped["images"] == 1
    assert skipped["files"][0] == (str(place / "a" / "0000.png"), "no picture in a known format")


def test_pictures_with_masks_give_a_class_for_each_pixel(place: Path) -> None:
    for inner in ("images", "masks"):
        (place / inner).mkdir()
    for i in range(5):
        picture(i, (12, 9)).save(place / "images" / f"{i}.jpg")
        mask = np.full((9, 12), i, np.uint8)
        mask[0, :] = 255
        Image.fromarray(mask).save(place / "masks" / f"{i}.png")
    picture(9, (12, 9)).save(place / "images" / "alone.jpg")
    data = open_data(f"folder:{place}", Preprocessing(3, None, (11, 8), (0.5,) * 3, (0.5,) * 3), classes=5)
    x, y = data.tensors("evaluation")
    assert x.shape == (4, 3, 11, 8)
    assert y.shape == (4, 11, 8)
    assert y.dtype == torch.int64
    assert bool((y[:, [0, 1, 10]] == 255).all())  # borders above and below, and the row that none counts
    assert all(len(mask[2:10].unique()) == 1 for mask in y)
    assert data.skipped == ((str(place / "images" / "alone.jpg"), "no mask of the same name"),)
    with pytest.raises(BadData, match=r"The masks of .* hold 4; the network knows classes 0 to 3"):
        open_data(f"folder:{place}", RGB, classes=4).tensors("evaluation")


def test_masks_are_labels_of_tensors_too() -> None:
    data = Data(evaluation=(torch.zeros(2, 3, 4, 5), torch.full((2, 4, 5), 255)))
    assert data.tensors("evaluation")[1].shape == (2, 4, 5)
    with pytest.raises(BadData, match=r"the labels \[2, 5, 4\]"):
        Data(evaluation=(torch.zeros(2, 3, 4, 5), torch.zeros(2, 5, 4, dtype=torch.int64)))


def test_classes_can_be_numbered_anew(place: Path) -> None:
    data = open_data(str(folder_of(place, {"a": 5, "b": 5})), RGB)
    moved = data.relabelled((7, 3))
    assert torch.equal(moved.tensors("evaluation")[1], torch.tensor([7, 3])[data.tensors("evaluation")[1]])
    data.require_classes(2)
    with pytest.raises(BadData, match="hold 7; the network knows classes 0 to 6"):
        moved.require_classes(7)


def test_a_data_set_of_torchvision_is_found_where_it_was_downloaded(place: Path) -> None:
    digits_of_mnist(place)
    data = open_data(f"torchvision:mnist@{place}", GREY)
    assert {part: data.count(part) for part in PARTS} == {"train": 32, "calibration": 8, "evaluation": 20}
    plain = MNIST(str(place), train=False)
    assert rows(data, "evaluation") == {GREY.normalize(x[None, None]).numpy().tobytes() for x in plain.data}
    (place / "a link").symlink_to(place / "nothing")
    assert open_data(f"torchvision:mnist@{place}", GREY).count("evaluation") == 20
    with pytest.raises(DataAbsent, match=r"torchvision's MNIST is not there .*download=True.*data add"):
        open_data(f"torchvision:MNIST@{place / 'elsewhere'}", GREY)
