"""Arrays of pictures: a file is believed in nothing, and what cannot serve gets one sentence."""

from __future__ import annotations

import io
import os
import re
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from qexplore.zoo import npz as npz_module
from qexplore.zoo.npz import NpzFile
from qexplore.zoo.pictures import open_data
from tests.zoo.album_makers import GREY, RGB, sentence


def npz(place: Path, **arrays: object) -> Path:
    place.mkdir(exist_ok=True)
    np.savez(place / "file.npz", **arrays)
    return place / "file.npz"


LABELS = np.arange(6) % 3
ONE = np.full(6, 3)
BLACK = np.zeros((6, 8, 8, 3), np.uint8)
NPZ: dict[str, tuple[dict[str, object], str]] = {
    "grey for RGB": ({"x": np.zeros((6, 8, 8), np.uint8), "y": LABELS}, "have 1 channel, the network takes RGB"),
    "five channels": (
        {"x": np.zeros((6, 8, 8, 5), np.uint8), "y": LABELS},
        "are [6, 8, 8, 5]; give uint8 [N, H, W], [N, H, W, 3] or",
    ),
    "transparent": ({"x": np.zeros((6, 8, 9, 4), np.uint8), "y": LABELS}, "are [6, 8, 9, 4]; give uint8"),
    "no pixels": ({"x": np.zeros((6, 0, 9, 3), np.uint8), "y": LABELS}, "are [6, 0, 9, 3]; give uint8"),
    "one number": ({"x": np.float32(3), "y": LABELS}, "is float32 []; give pictures as uint8"),
    "strange names": ({"a\x1b[31m\n": LABELS, "b" * 3000: LABELS}, r"holds a\x1b[31m\n, bbb"),
    "objects": ({"x": np.array([{"a": 1}] * 6, object), "y": LABELS}, "pickled objects, never read here"),
    "labels too great": ({"x": np.zeros((6, 8, 8, 3), np.uint8), "y": LABELS + 8}, "hold 10; the network knows"),
    "labels below zero": ({"x": np.zeros((6, 8, 8, 3), np.uint8), "y": LABELS - 1}, "hold -1; class numbers start"),
    "labels with a point": ({"x": np.zeros((6, 8, 8, 3), np.uint8), "y": LABELS / 2}, "one whole class number"),
    "fewer labels": ({"x": np.zeros((6, 8, 8, 3), np.uint8), "y": LABELS[:5]}, "for each of the 6 pictures"),
    "other names": ({"a": LABELS, "b": LABELS}, "holds a, b; name the arrays"),
    "whole numbers": ({"x": np.zeros((6, 8, 8, 3), np.int32), "y": LABELS}, "is int32"),
    "nothing": ({"x": np.zeros((0, 8, 8, 3), np.uint8), "y": LABELS[:0]}, "zero pictures"),
    "one class": ({"x": BLACK, "y": ONE}, "hold one class only, 3: nothing can be told apart"),
    "ready inputs of one class": ({"x": np.zeros((6, 3, 8, 8), np.float32), "y": ONE}, "hold one class only, 3"),
    "tests of one class": (
        {"x_train": BLACK, "y_train": LABELS, "x_test": BLACK, "y_test": ONE},
        "hold one class only, 3",
    ),
    "NaN": ({"x": np.full((6, 3, 8, 8), np.nan, np.float32), "y": LABELS}, "NaN"),
}


@pytest.mark.parametrize("case", NPZ)
def test_arrays_that_cannot_serve_get_one_sentence(case: str, place: Path) -> None:
    arrays, told = NPZ[case]
    assert told in sentence(npz(place, **arrays), classes=10)


def test_arrays_are_pictures_as_bytes_and_ready_inputs_as_floats(place: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 9, 7, 3), np.uint8)
    y = np.arange(30) % 3
    last = open_data(str(npz(place, images=x, labels=y)), RGB)
    first = open_data(str(npz(place / "first", x=x.transpose(0, 3, 1, 2), y=y)), RGB)
    assert all(torch.equal(a, b) for a, b in zip(last.tensors("evaluation"), first.tensors("evaluation")))
    assert last.tensors("evaluation")[0].shape == (24, 3, 9, 7)
    assert open_data(str(npz(place / "grey", x=x, y=y)), GREY).tensors("evaluation")[0].shape == (24, 1, 9, 7)
    floats = x.transpose(0, 3, 1, 2).astype(np.float32)
    ready = open_data(str(npz(place / "ready", x_train=floats, y_train=y, x_test=floats[:9], y_test=y[:9])), RGB)
    assert {part: ready.count(part) for part in ("train", "calibration", "evaluation")} == {
        "train": 24,
        "calibration": 6,
        "evaluation": 9,
    }
    assert float(ready.tensors("evaluation")[0].max()) > 200
    assert "ready inputs" in ready.notices[0]


def test_masks_of_one_class_are_arrays_as_good_as_others(place: Path) -> None:
    masks = np.ones((6, 8, 8), np.uint8)
    for x in (BLACK, np.zeros((6, 3, 8, 8), np.float32)):
        assert open_data(str(npz(place, x=x, y=masks)), RGB).tensors("evaluation")[1].unique().tolist() == [1]


def header_says(shape: tuple[int, ...], padding: int = 0) -> bytes:
    """An .npy file of a few bytes that claims to hold `shape`."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}" + " " * padding + "\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text.encode()


LIES = {
    "more than memory": (header_says((10**6, 224, 224, 3)), "unpacks to 150,528,000,000 bytes"),
    "more than it holds": (header_says((6, 8, 8, 3)), "cannot be read"),
    "a huge header": (header_says((6, 8, 8, 3), 20_000_000), "no .npz file that can be read"),
    "no array": (b"junk", "no .npz file that can be read"),
    "zeros that unpack to more than its header says": (
        header_says((6, 8, 8, 3)) + bytes(1152) + bytes(2**24),
        "unpacks to",
    ),
}


@pytest.mark.parametrize("case", LIES)
def test_a_file_of_arrays_is_not_believed(case: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz_module, "LARGEST_ARRAY", 10 * 2**20)
    content, told = LIES[case]
    labels = io.BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(place / "file.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", labels.getvalue())
    assert told in sentence(place / "file.npz")


def damaged(place: Path, method: int, images: int = 6) -> Path:
    """A compressed file whose pictures have a hole, the headers being whole."""
    content, labels = io.BytesIO(), io.BytesIO()
    np.save(content, np.random.default_rng(0).integers(0, 256, (images, 8, 8, 3), np.uint8))
    np.save(labels, np.arange(images) % 3)
    with zipfile.ZipFile(place / "file.npz", "w", method) as archive:
        archive.writestr("x.npy", content.getvalue())
        archive.writestr("y.npy", labels.getvalue())
    whole = bytearray((place / "file.npz").read_bytes())
    whole[300:600] = bytes(300)
    (place / "file.npz").write_bytes(whole)
    return place / "file.npz"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_arrays_are_told_whatever_compressed_them(method: int, place: Path) -> None:
    assert re.search("cannot be read|no .npz file that can be read", sentence(damaged(place, method)))
    assert "\n" not in sentence(place / "file.npz")


def test_an_array_is_read_once_whether_it_is_good_or_damaged(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = NpzFile.array
    names: list[str] = []

    def slow(file: NpzFile, name: str) -> np.ndarray:
        names.append(name)
        time.sleep(0.05)  # so that the other threads come meanwhile
        return read(file, name)

    monkeypatch.setattr(NpzFile, "array", slow)
    assert "cannot be read" in sentence(damaged(place, zipfile.ZIP_STORED, 300))
    assert names.count("x") == 1
    names.clear()
    (place / "good").mkdir()
    x, y = np.zeros((300, 8, 8, 3), np.uint8), np.arange(300) % 3
    open_data(str(npz(place / "good", x=x, y=y)), RGB).prepare()
    assert names.count("x") == 1


def test_folders_and_devices_are_no_files_of_arrays(place: Path) -> None:
    os.mkfifo(place / "pipe.npz")
    (place / "folder.npz").mkdir()
    for path in (place / "pipe.npz", place / "folder.npz", "npz:/dev/zero"):
        assert "it is no regular file" in sentence(path)


def test_what_is_no_zip_file_is_no_file_of_arrays(place: Path) -> None:
    (place / "file.npz").write_bytes(b"PK\x03\x04 and then nothing")
    assert "is no .npz file" in sentence(place / "file.npz")
    assert "is no .npz file" in sentence(place / "missing.npz")
