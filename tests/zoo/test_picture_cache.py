"""The cache of decoded pictures: shared by processes, bounded, and never believed further than it was written."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from qexplore.errors import QexploreError
from qexplore.zoo import picture_cache
from qexplore.zoo.picture_cache import PictureCache, caches
from qexplore.zoo.pictures import open_data
from tests.zoo.album_makers import RGB, folder_of


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 5000), np.uint8)


def test_what_is_written_is_read_by_whoever_opens_it_and_nothing_else_is_there() -> None:
    first, second = PictureCache("a", 10, 5000), PictureCache("a", 10, 5000)
    index, held = np.array([7, 2, 3]), rows(3)
    first.write(index, held)
    assert second.has(np.arange(10)).tolist() == [place in (2, 3, 7) for place in range(10)]
    assert np.array_equal(second.read(np.array([3, 7])), held[[2, 0]])
    assert not PictureCache("b", 10, 5000).has(np.arange(10)).any()


def test_the_caches_that_were_used_longest_ago_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        PictureCache(f"c{number}", 20, 5000).write(np.arange(20), rows(20))
        os.utime(caches() / f"c{number}", (1000 + number, 1000 + number))
    oldest = PictureCache("c0", 20, 5000)  # used again: now the youngest
    reader = PictureCache("c1", 20, 5000)
    os.utime(caches() / "c1", (1001, 1001))
    monkeypatch.setattr(picture_cache, "LARGEST", 2 * 250_000)
    PictureCache("new", 20, 5000)
    assert {path.name for path in caches().iterdir() if path.is_dir()} == {"c0", "c3", "new"}
    assert np.array_equal(reader.read(np.arange(20)), rows(20))  # whoever has it open goes on
    assert oldest.has(np.arange(20)).all()


def test_pictures_are_decoded_and_kept_where_the_system_is_macos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(folder_of(tmp_path / "pictures", {"a": 4, "b": 4}))
    wanted = open_data(source, RGB).tensors("evaluation")[0]
    shutil.rmtree(caches())
    for name in ("sched_getaffinity", "fdatasync", "preadv"):
        monkeypatch.delattr(os, name)
    for _ in range(2):  # decoded, then read
        assert torch.equal(open_data(source, RGB).tensors("evaluation")[0], wanted)


@pytest.mark.parametrize("limit", ["LARGEST", "SPARED"])
def test_without_room_pictures_are_decoded_anew_and_are_the_same(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder_of(tmp_path / "place", {"a": 4, "b": 4})
    with monkeypatch.context() as patch:
        patch.setattr(picture_cache, limit, 0 if limit == "LARGEST" else 2**60)
        data = open_data(str(place), RGB)
        first = data.tensors("evaluation")[0]
        assert torch.equal(data.tensors("evaluation")[0], first)
        (kept,) = caches().glob("*/kept")
        assert kept.read_bytes() == bytes(8)
    assert torch.equal(open_data(str(place), RGB).tensors("evaluation")[0], first)


def test_a_record_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "place", {"a": 4, "b": 4})
    whole = open_data(str(place), RGB).tensors("evaluation")[0]
    (kept,) = caches().glob("*/kept")
    kept.write_bytes(bytes(8))  # killed after the pixels, before they were said to be there
    (caches() / kept.parent.name / "pixels").write_bytes(b"")
    assert torch.equal(open_data(str(place), RGB).tensors("evaluation")[0], whole)


def test_a_damaged_cache_is_named() -> None:
    cache = PictureCache("a", 4, 5000)
    cache.write(np.arange(4), rows(4))
    os.truncate(caches() / "a" / "pixels", 100)
    with pytest.raises(QexploreError, match="is damaged; delete that folder"):
        cache.read(np.array([3]))


def read(place: str, seed: int) -> bytes:
    return open_data(place, RGB, seed=seed).tensors("evaluation")[0].sum(0).numpy().tobytes()


def test_processes_and_threads_that_decode_at_once_get_the_same_pictures(tmp_path: Path) -> None:
    place = str(folder_of(tmp_path / "place", {"a": 40, "b": 40}, (40, 30)))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(read, [(place, 0)] * 4)
    assert len(set(found)) == 1
    data = open_data(place, RGB, seed=1)
    with ThreadPoolExecutor(4) as threads:
        sums = list(threads.map(lambda _: float(data.tensors("evaluation")[0].double().sum()), range(8)))
    assert len(set(sums)) == 1
    assert len(list(caches().glob("*/kept"))) == 1
