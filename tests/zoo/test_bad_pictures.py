"""What cannot be used gets one sentence; what is merely broken is skipped, counted and named."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from qexplore.errors import UnknownName
from qexplore.places import OutsideRoots
from qexplore.zoo import BadData
from qexplore.zoo.data import Data
from qexplore.zoo.pictures import open_data
from qexplore.zoo.preprocessing import Preprocessing
from tests.zoo.album_makers import RGB, folder_of, picture, sentence


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """`folder` may not be read, by root neither."""
    folder.chmod(0)
    for parent in folder.parents:
        if str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda place: None, "holds no pictures"),
    "one class": (lambda place: folder_of(place, {"cat": 3}), "holds one class only, 'cat'"),
    "no classes": (lambda place: picture(0).save(place / "a.png"), "holds pictures without classes"),
    "text alone": (lambda place: (place / "notes.txt").write_text("x"), "holds no pictures"),
    "a foreign class in the tests": (
        lambda place: (folder_of(place / "train", {"a": 2, "b": 2}), folder_of(place / "val", {"a": 1, "c": 1})),
        "holds the class 'c' that train does not hold",
    ),
    "a train and a test without classes": (
        lambda place: (folder_of(place / "train", {"a": 2, "b": 2}), picture(0).save(made(place / "test") / "a.png")),
        "test holds pictures without classes",
    ),
    "two sizes": (
        lambda place: (folder_of(place, {"a": 3}), folder_of(place, {"b": 3}, (5, 5))),
        "differ in size",
    ),
    "nothing but broken files": (
        lambda place: [path.write_bytes(b"x") for path in folder_of(place, {"a": 2, "b": 2}).glob("*/*")],
        "None of the 4 pictures",
    ),
    "masks of other names": (
        lambda place: (folder_of(place, {"images": 2}), folder_of(place / "masks", {"x": 1})),
        "No picture of .* has a mask of the same name",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_cannot_serve_gets_one_sentence(case: str, place: Path) -> None:
    make, told = FOLDERS[case]
    make(place)
    assert re.search(told, sentence(place))


def test_paths_that_lead_nowhere_are_named(place: Path) -> None:
    assert "There is no folder" in sentence(place / "missing")
    assert "is no folder" in sentence(folder_of(place, {"a": 1}) / "a" / "0000.png")
    assert "name no place" in sentence("folder:")
    assert "need a preprocessing" in sentence(place, None)  # type: ignore[arg-type]
    assert "cannot exist" in sentence("folder:a\0b")
    with pytest.raises(UnknownName, match="known: CIFAR10, "):
        open_data("torchvision:CIFAR11", RGB)


def test_a_folder_without_rights_is_named(place: Path) -> None:
    folder_of(place, {"a": 2, "b": 2})
    with without_rights(place / "a"):
        assert "cannot be read (Permission denied)" in sentence(place)
    with without_rights(place):
        assert "cannot be read (Permission denied)" in sentence(place / "a")


def test_fewer_images_than_a_batch_or_than_calibration_wants_are_enough(place: Path) -> None:
    data = open_data(str(folder_of(place, {"a": 2, "b": 1})), RGB)
    assert (data.count("calibration"), data.count("evaluation")) == (1, 2)
    assert len(next(data.batches("evaluation", size=128))[0]) == 2
    assert "Calibration takes 1 of 3 images" in data.notices[0]


def bomb(side: int) -> bytes:
    """A PNG of side × side black pixels in a few bytes of header; its body is not even there."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def whole_jpeg() -> bytes:
    file = io.BytesIO()
    picture(0, (64, 64)).save(file, "JPEG")
    return file.getvalue()


BROKEN = {
    "text": (b"this is no picture", "no picture in a known format"),
    "nothing": (b"", "no picture in a known format"),
    "cut off": (whole_jpeg()[: len(whole_jpeg()) // 2], "truncated"),
    "decompression bomb": (bomb(30_000), "pixels"),
    "many pixels": (bomb(10_000), "it has 10000 × 10000 pixels, more than 50,000,000"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture in a known format"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.filterwarnings("always::PIL.Image.DecompressionBombWarning")
def test_a_broken_picture_is_skipped_counted_and_named_and_the_others_are_used(
    case: str, place: Path, recwarn: pytest.WarningsRecorder
) -> None:
    content, reason = BROKEN[case]
    folder_of(place, {"a": 4, "b": 4})
    (place / "a" / "0000.png").write_bytes(content)
    (place / "b" / "read me.txt").write_text("no picture, and not called one")
    data = open_data(str(place), Preprocessing(3, 8, 8, (0.5,) * 3, (0.5,) * 3))
    data.prepare()
    open_data(str(place), RGB).prepare()  # looks at the first picture for the size of all
    ((name, told),) = data.skipped
    assert name == str(place / "a" / "0000.png")
    assert reason in told
    assert Image.DecompressionBombWarning not in {one.category for one in recwarn}  # a raw line on stderr
    assert data.count("calibration") + data.count("evaluation") == 7
    assert sum(len(data.tensors(part)[0]) for part in ("calibration", "evaluation")) == 7


def nothing_behind_it(path: Path) -> None:
    path.symlink_to(path.parent / "gone.png")


def circle(path: Path) -> None:
    path.symlink_to(path)


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to nothing": (nothing_behind_it, "no such file or directory"),
    "a circle of links": (circle, "link"),
    "a named pipe": (os.mkfifo, "no regular file"),
    "a link to a folder": (lambda path: path.symlink_to(path.parent), "no regular file"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_skipped_counted_and_named_and_the_others_are_used(case: str, place: Path) -> None:
    make, reason = NO_FILES[case]
    folder_of(place / "classes", {"a": 4, "b": 4})
    make(place / "classes" / "a" / "odd.png")
    for inner in ("images", "masks"):
        folder_of(place / "set" / inner, {"": 4})
        make(place / "set" / inner / "odd.png")
    for source, count in (("classes", 8), ("set", 4)):
        data = open_data(str(place / source), RGB)
        assert data.count("calibration") + data.count("evaluation") == count
        assert {Path(name).name for name, _ in data.skipped} == {"odd.png"}
        assert all(reason in told for _, told in data.skipped)


@pytest.mark.timeout(20)
def test_a_folder_of_nothing_but_pipes_is_told(place: Path) -> None:
    (place / "a").mkdir()
    os.mkfifo(place / "a" / "0.png")
    assert f"holds no picture that may be read; the first, {place / 'a' / '0.png'}: no regular file" in sentence(place)
    os.mkfifo(place / "arrays.npz")
    assert "is no .npz file that can be read: it is no regular file" in sentence(place / "arrays.npz")


def test_a_limit_counts_the_pictures_that_can_be_read(place: Path) -> None:
    folder_of(place, {"a": 10, "b": 10})
    for path in sorted(place.glob("*/*"))[::2]:
        path.write_bytes(b"x")
    data = open_data(str(place), Preprocessing(3, 8, 8, (0.5,) * 3, (0.5,) * 3), calibration=1)
    assert [len(x) for x, _ in data.batches("evaluation", size=3, limit=8)] == [3, 3, 2]


def test_names_of_any_sort_are_read_and_told_in_print(place: Path) -> None:
    folder_of(place, {"a": 1, "b": 1})
    odd = ["ü ☃.png", "new\nline.png", "-rf.PNG", "quo'te\".png", os.fsdecode(b"latin-\xe4.png")]
    for name in odd:
        (place / "a" / name).write_bytes((place / "b" / "0001.png").read_bytes())
    (place / "b" / os.fsdecode(b"bad\n\xff.png")).write_bytes(b"x")
    data = open_data(str(place), RGB)
    data.prepare()
    assert data.count("calibration") + data.count("evaluation") == 7
    ((name, _),) = data.skipped
    assert name.isprintable()
    assert name.encode("utf-8").endswith("bad��.png".encode())


def test_no_symbolic_link_leads_out_of_the_folder_unless_its_target_is_allowed(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = folder_of(tmp_path / "outside", {"secret": 3})
    folder_of(place, {"a": 3, "b": 3})
    (place / "a" / "out.png").symlink_to(outside / "secret" / "0000.png")
    (place / "c").symlink_to(outside / "secret")
    (place / "b" / "round.png").symlink_to(place / "b" / "round.png")
    (place / "b" / "inside.png").symlink_to(place / "a" / "0000.png")
    data = open_data(str(place), RGB)
    assert data.classes == ("a", "b")
    assert data.count("calibration") + data.count("evaluation") == 7
    named = {Path(name).name: reason for name, reason in data.skipped}
    assert named.keys() == {"out.png", "c", "round.png"}
    assert "data add DIR" in named["c"]
    monkeypatch.setenv("QEXPLORE_DATA", str(outside))
    assert open_data(str(place), RGB).classes == ("a", "b", "c")


def test_a_part_that_is_a_link_out_of_the_folder_is_refused(place: Path, tmp_path: Path) -> None:
    folder_of(place / "train", {"a": 3, "b": 3})
    (place / "test").symlink_to(folder_of(tmp_path / "outside", {"a": 3, "b": 3}))
    assert "symbolic link" in sentence(place)


@pytest.mark.parametrize("path", ["../outside", "/etc", "link", "a/../../outside", "x" * 5000])
def test_the_app_reads_allowed_folders_only(
    path: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEXPLORE_DATA", str(folder_of(place, {"a": 2, "b": 2})))
    (place / "link").symlink_to(folder_of(tmp_path / "outside", {"a": 2, "b": 2}))
    for source in (path, f"npz:{path}", f"torchvision:MNIST@{path}"):
        with pytest.raises(OutsideRoots, match="data add DIR"):
            open_data(source, RGB, confined=True)
    assert open_data(".", RGB, confined=True).count("evaluation") == 3


def test_a_home_that_cannot_be_written_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(place, {"a": 2, "b": 2})
    (place / "file").write_text("")
    monkeypatch.setenv("QEXPLORE_HOME", str(place / "file"))
    assert "set QEXPLORE_HOME to a folder that you can write to" in sentence(place)


def test_the_kinds_of_preprocessing_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadData, match="1 or 3 channels, not 2"):
        Preprocessing(2, None, None, (0.5, 0.5), (0.5, 0.5))
    with pytest.raises(BadData, match="above zero"):
        Preprocessing(1, None, None, (0.5,), (0.0,))
    with pytest.raises(BadData, match="crop is 0"):
        Preprocessing(1, None, 0, (0.5,), (1.0,))
    with pytest.raises(BadData, match="no interpolation 'cubic'"):
        Preprocessing(1, None, None, (0.5,), (1.0,), "cubic")
    for document in (None, {"channels": 3}, {"channels": 3, "colour": 1}, [1]):
        with pytest.raises(BadData, match="preprocessing"):
            Preprocessing.from_document(document)
    assert Preprocessing.from_document(RGB.to_document()) == RGB


def test_tensors_are_never_pictures() -> None:
    data = Data(evaluation=(torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)))
    data.prepare()
    assert data.skipped == ()
