"""What is read lies, once links are followed, in the folder that was named or in one that is allowed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qexplore.errors import QexploreError
from qexplore.places import OutsideRoots
from qexplore.runs import own_tasks
from qexplore.ui.absent import how_to_get
from qexplore.zoo import own
from qexplore.zoo.cifar import CLASSES, cifar10, lies_in
from qexplore.zoo.pictures import open_data
from tests.zoo.album_makers import GREY, RGB, digits_of_mnist, folder_of
from tests.zoo.own_parts import masked


@pytest.fixture
def allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one whose images may be used."""
    folder = tmp_path / "allowed"
    folder.mkdir()
    monkeypatch.setenv("QEXPLORE_DATA", str(folder))
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is not allowed."""
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


def linked(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)


def part_with_masks(allowed: Path, outside: Path) -> None:
    masked(allowed / "set" / "test")
    linked(allowed / "set" / "train", masked(outside / "train"))


def images_beside_masks(allowed: Path, outside: Path) -> None:
    masked(allowed / "set")
    shutil.rmtree(allowed / "set" / "images")
    linked(allowed / "set" / "images", masked(outside / "set") / "images")


def masks_beside_images(allowed: Path, outside: Path) -> None:
    masked(allowed / "set")
    shutil.rmtree(allowed / "set" / "masks")
    linked(allowed / "set" / "masks", masked(outside / "set") / "masks")


def part_with_classes(allowed: Path, outside: Path) -> None:
    folder_of(allowed / "set" / "test", {"a": 2, "b": 2})
    linked(allowed / "set" / "train", folder_of(outside / "train", {"a": 3, "b": 3}))


def only_part_with_classes(allowed: Path, outside: Path) -> None:
    linked(allowed / "set" / "train", folder_of(outside / "train", {"a": 3, "b": 3}))


LEAKS: tuple[Callable[[Path, Path], None], ...] = (
    part_with_masks,
    images_beside_masks,
    masks_beside_images,
    part_with_classes,
    only_part_with_classes,
)


@pytest.mark.parametrize("make", LEAKS)
@pytest.mark.parametrize("confined", [True, False])
def test_no_part_of_a_folder_is_read_through_a_link_out_of_it(
    make: Callable[[Path, Path], None],
    confined: bool,
    allowed: Path,
    outside: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(allowed, outside)
    source = f"folder:{allowed / 'set'}"
    with pytest.raises(
        QexploreError, match=r"is a symbolic link out of the folder; allow its target with: .* data add"
    ):
        open_data(source, RGB, confined=confined)
    monkeypatch.setenv("QEXPLORE_DATA", f"{allowed}:{outside}")
    assert len(open_data(source, RGB, confined=confined).tensors("evaluation")[0]) > 0


def test_a_folder_that_is_named_may_itself_be_a_link(tmp_path: Path, outside: Path) -> None:
    linked(tmp_path / "link", masked(outside / "set"))
    linked(tmp_path / "shelf", folder_of(outside / "shelf", {"a": 3, "b": 3}))
    assert open_data(f"folder:{tmp_path / 'link'}", RGB).count("evaluation") == 8
    assert open_data(str(tmp_path / "shelf"), RGB).count("evaluation") == 5


def test_cifar10_is_not_read_through_a_link_out_of_the_allowed_folder(
    allowed: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "test"):
        folder_of(outside / part, dict.fromkeys(CLASSES, 5))
    linked(allowed / "cifar10", outside)
    with pytest.raises(QexploreError, match=r"cifar10 is a symbolic link out of the folder; allow its target with"):
        cifar10()
    assert "The images of CIFAR-10 are not here" in how_to_get("resnet20-cifar10")
    assert not lies_in(allowed)
    assert lies_in(outside)
    linked(outside.parent / "named", outside)
    assert lies_in(outside.parent / "named")
    monkeypatch.setenv("QEXPLORE_DATA", f"{allowed}:{outside}")
    assert cifar10().count("evaluation") == 50
    assert how_to_get("resnet20-cifar10") == ""


@pytest.mark.parametrize("link", ["cifar-10-batches-py", "cifar-10-batches-py/data_batch_1"])
def test_the_batches_of_cifar10_are_not_read_through_a_link_either(link: str, allowed: Path, outside: Path) -> None:
    (outside / "target").mkdir()
    linked(allowed / "cifar10" / link, outside / "target")
    with pytest.raises(QexploreError, match=f"{link} is a symbolic link out of the folder"):
        cifar10()


def test_a_downloaded_set_is_not_looked_for_behind_a_link_out_of_the_allowed_folder(
    allowed: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked(allowed / "MNIST", digits_of_mnist(outside))
    with pytest.raises(QexploreError, match="MNIST is a symbolic link out of the folder"):
        open_data("torchvision:MNIST", GREY)
    monkeypatch.setenv("QEXPLORE_DATA", f"{allowed}:{outside}")
    assert open_data("torchvision:MNIST", GREY).count("evaluation") == 20


@pytest.mark.parametrize("name", ["pictures", "arrays.npz"])
def test_the_helper_refuses_a_path_that_names_no_kind_as_it_refuses_a_folder(
    name: str, allowed: Path, outside: Path, tmp_path: Path
) -> None:
    folder_of(outside / "pictures", {"a": 3, "b": 3})
    np.savez(outside / "arrays.npz", x=np.zeros((4, 8, 8, 3), np.uint8), y=np.arange(4) % 2)
    asked = {"ask": "add", "name": "mine", "model": "resnet20-cifar10", "weights": None, "seed": 0, "title": ""}
    asked["progress"] = str(tmp_path / "progress.json")
    for source in (f"{outside / name}", f"folder:{outside / name}", f"npz:{outside / name}"):
        trouble = own_tasks.answer({**asked, "data": source})["trouble"]
        assert f"{str(outside / name)!r} lies outside the folders whose images may be used" in trouble
    assert own.folders() == ()


def test_the_helper_takes_what_lies_in_an_allowed_folder_by_any_name(allowed: Path) -> None:
    folder_of(allowed / "pictures", {"a": 1, "b": 1})
    wanted = f"folder:{allowed / 'pictures'}"
    assert {own_tasks.confined(source) for source in (wanted, "pictures", str(allowed / "pictures"))} == {wanted}
    assert own_tasks.confined("arrays.npz") == f"npz:{allowed / 'arrays.npz'}"
    assert [own_tasks.confined(source) for source in ("digits", "cifar10")] == ["digits", "cifar10"]
    with pytest.raises(OutsideRoots):
        own_tasks.confined("pictures/../../outside")
