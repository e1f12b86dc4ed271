"""Real and quantized network side by side: what is kept, where, and that it leaves nothing behind."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.numerics import Spec
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.memory import Memory, on_disk
from qexplore.ptq.sweep import Sweep, side_by_side
from qexplore.report import Report

BATCH = 16


class Residual(nn.Module):
    """A convolution whose result two others read, one of them later than the other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.wide = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 1)
        self.depth, self.back = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = nn.functional.relu6(self.depth(torch.relu(self.wide(x))))
        return self.head((x + self.back(y)).mean((2, 3)))


Prepared = tuple[Network, Calibration]


@pytest.fixture
def prepared() -> Prepared:
    return prepare()


def prepare() -> Prepared:
    """A network with weights of 3 bits, and images for it."""
    images = torch.rand(90, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    part = (images, torch.zeros(90, dtype=torch.int64))
    task = qx.Task(model=Residual(), data=qx.Data(calibration=part, evaluation=part))
    network, calibration = Network.of(task.model, task.example, Spec(bits=3)), Calibration(task.data)
    return STEPS.get("weight-ranges")(network, calibration, Report()), calibration


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def swept(prepared: Prepared, gigabytes: float) -> Iterator[tuple[str, Sweep, Sweep]]:
    """Operation by operation with both sweeps done."""
    for step, real, quantized in side_by_side(*prepared, BATCH, Memory(gigabytes)):
        quantized.carry_out(step)
        yield step.name, real, quantized


def storages(*sweeps: Sweep) -> dict[int, Any]:
    values = [value for sweep in sweeps for batch in sweep.batches for value in batch.values()]
    return {x.untyped_storage().data_ptr(): x.untyped_storage() for x in values if isinstance(x, Tensor)}


def weights(network: Network) -> list[Tensor]:
    return [network.quantized_weight(site, 3) for site in network.sites if site.kind == "weight"]


@pytest.mark.parametrize("kilobytes", [0, 150, 400])
def test_what_is_held_in_ram_stays_below_the_bound(kilobytes: int, prepared: Prepared, folder: Path) -> None:
    on_disk_somewhere = False
    for _, *sweeps in swept(prepared, kilobytes / 1e6):
        in_ram = [s.nbytes() for s in storages(*sweeps).values() if s.filename is None]
        assert sum(in_ram) <= kilobytes * 1000
        on_disk_somewhere |= len(in_ram) < len(storages(*sweeps))
    assert on_disk_somewhere


def test_without_need_nothing_goes_to_disk(prepared: Prepared) -> None:
    for _, *sweeps in swept(prepared, 2.0):
        assert all(storage.filename is None for storage in storages(*sweeps).values())


def test_only_what_a_later_operation_reads_is_kept(prepared: Prepared) -> None:
    network, _ = prepared
    order = [op.name for op in network.graph.ops]
    for name, real, quantized in swept(prepared, 2.0):
        here = order.index(name)
        read_later = {op for op in order[:here] if any(order.index(r) > here for r in network.graph.readers[op])}
        assert set(real.batches[0]) == {*read_later, name}
        assert set(quantized.batches[0]) <= {*real.batches[0], *network.graph.by_name[name].inputs}


def test_results_are_the_same_in_ram_and_on_disk(prepared: Prepared, folder: Path) -> None:
    ends = []
    for gigabytes in (2.0, 0.0):
        *_, (name, real, quantized) = swept(prepared, gigabytes)
        ends.append([*real.of(name), *quantized.of(name)])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize(("step", "settings"), [("adaround", {"iterations": 30}), ("correct-bias", {})])
def test_a_step_gives_the_same_network_whatever_the_bound(step: str, settings: dict[str, int], folder: Path) -> None:
    found = []
    for gigabytes in (2.0, 0.0):
        network = STEPS.get(step)(*prepare(), Report(), memory=gigabytes, **settings)  # type: ignore[call-arg]
        found.append([*weights(network), *(network.bias(name) for name in network.layers)])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_no_file_is_ever_to_be_seen(prepared: Prepared, folder: Path) -> None:
    for _, *sweeps in swept(prepared, 0.0):
        files = [storage.filename for storage in storages(*sweeps).values()]
        assert files
        assert all(file.startswith(str(folder)) for file in files)
        assert list(folder.iterdir()) == []


def test_a_tensor_on_disk_is_the_tensor_and_can_be_changed(folder: Path) -> None:
    whole = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    for x in (whole, whole.contiguous(memory_format=torch.channels_last), whole[:, 1:], whole[:1].expand(3, 3, 4, 5)):
        kept = on_disk(x)
        assert torch.equal(kept, x)
        assert torch.equal(kept.mul_(2), x * 2)


def test_a_full_disk_is_one_clear_sentence(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(qx.QexploreError, match="TMPDIR"):
            on_disk(torch.zeros(1 << 16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("gigabytes", [-1.0, float("nan")])
def test_a_bound_that_is_no_size_is_refused(gigabytes: float) -> None:
    with pytest.raises(qx.QexploreError, match="memory"):
        Memory(gigabytes)


@pytest.mark.parametrize("first", [nn.ReLU(inplace=True), nn.Sequential(nn.Flatten(), nn.ReLU6())])
def test_images_that_both_sweeps_share_stay_as_they_are(first: nn.Module) -> None:
    images = torch.randn(20, 6)
    part = (images, torch.zeros(20, dtype=torch.int64))
    task = qx.Task(model=nn.Sequential(first, nn.Linear(6, 3)), data=qx.Data(calibration=part, evaluation=part))
    network, shared = Network.of(task.model, task.example), []
    for step, _, quantized in side_by_side(network, Calibration(task.data), BATCH, Memory()):
        shared = quantized.of("input") if step.name == "input" else shared
        quantized.carry_out(step)
        assert torch.equal(torch.cat(shared), images)
