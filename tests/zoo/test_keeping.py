"""What is kept of a training is found again by the same training alone; what cannot be read is not taken up."""

from pathlib import Path

import pytest
import torch

from qexplore import zoo
from qexplore.zoo.fitting import Settings
from qexplore.zoo.keeping import Keep, Work


def test_what_was_put_last_is_found_until_it_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "net.unfinished"
    path.parent.mkdir()
    keep = Keep(path, "mine")
    assert keep.found() is None
    keep.put({"epoch": 1, "weights": torch.zeros(2)})
    keep.put({"epoch": 2, "weights": torch.ones(2)})
    found = keep.found()
    assert found is not None
    assert found["epoch"] == 2
    assert torch.equal(found["weights"], torch.ones(2))
    assert list(path.parent.iterdir()) == [path]
    keep.drop()
    keep.drop()
    assert keep.found() is None


def test_another_trainings_state_is_not_taken_up(tmp_path: Path) -> None:
    Keep(tmp_path / "net.unfinished", "mine").put({"epoch": 1})
    assert Keep(tmp_path / "net.unfinished", "yours").found() is None


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all"])
def test_a_file_that_is_no_state_is_not_taken_up(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.unfinished"
    path.write_bytes(content)
    assert Keep(path, "mine").found() is None


def test_nothing_is_kept_without_a_file() -> None:
    keep = Keep()
    keep.put({"epoch": 1})
    assert keep.found() is None
    keep.drop()


def test_a_works_state_lies_beside_its_checkpoint_and_tells_trainings_apart(tmp_path: Path) -> None:
    work, entry = Work(tmp_path / "net.safetensors"), zoo.entry("resnet-digits")
    mine = work.keep(entry, 0, Settings())
    assert mine.path == tmp_path / "net.unfinished"
    others = (
        work.keep(zoo.entry("mobilenet-digits"), 0, Settings()),
        work.keep(entry, 1, Settings()),
        work.keep(entry, 0, Settings(epochs=3)),
        Work(work.checkpoint, threads=2).keep(entry, 0, Settings()),
    )
    assert all(other.path == mine.path and other.what != mine.what for other in others)
