"""What a stopped process has left behind goes when the next one writes there."""

import os
import time
from pathlib import Path

import pytest

from qexplore.zoo.leftovers import AGE, remove_leftovers


def old(path: Path) -> Path:
    os.utime(path, (time.time() - AGE - 60,) * 2)
    return path


def test_only_what_is_old_and_called_so_goes(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name in (".adding-a", ".adding-b", "mine"):
        (folder / name).mkdir()
        (folder / name / "weights.safetensors").write_bytes(b"much")
    for name in (".download-a", ".download-b", "weights.pth"):
        (folder / name).write_bytes(b"half")
    for name in (".adding-a", "mine", ".download-a", "weights.pth"):
        old(folder / name)
    remove_leftovers(folder, ".adding-*", ".download-*")
    assert {path.name for path in folder.iterdir()} == {".adding-b", "mine", ".download-b", "weights.pth"}


def test_what_a_link_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "cat.png").write_bytes(b"cat")
    link = tmp_path / ".adding-link"
    link.symlink_to(tmp_path / "images")
    os.utime(link, (0, 0), follow_symlinks=False)
    remove_leftovers(tmp_path, ".adding-*")
    assert not link.is_symlink()
    assert (tmp_path / "images" / "cat.png").exists()


def test_no_folder_and_one_that_may_not_be_written_are_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_leftovers(tmp_path / "nowhere", ".adding-*")
    (tmp_path / ".download-a").write_bytes(b"half")
    old(tmp_path / ".download-a")
    monkeypatch.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(PermissionError("read-only")))
    remove_leftovers(tmp_path, ".download-*")
    assert (tmp_path / ".download-a").exists()
