"""What a training keeps comes back to the bit, survives a death while saving, and is handed to the run that resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.ptq import STEPS, Calibration
from qexplore.report import Event, Report
from qexplore.runs import Store, checkpoints
from qexplore.runs.checkpoints import FileKeeper
from qexplore.runs.engine_jobs import recipe
from qexplore.runs.inheritance import inherit, kept
from qexplore.runs.records import Records

SPEC = {"kind": "recipe", "task": "mobilenet-digits", "recipe": "qat", "seed": 0}
RECIPE = {"name": "counted", "steps": ["fold-bn", {"Count Up": {"to": 5}}]}


def states() -> dict[str, Tensor]:
    flat = torch.arange(24.0)
    return {
        "weight": torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last),
        "plain": torch.randn(4, 3, 2, 2),
        "scale": torch.tensor(0.1, dtype=torch.float64),
        "step": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "generator": torch.get_rng_state(),
        "half": flat[:12],
        "overlapping": flat[6:18],
        "same": flat,
        "transposed": flat.view(4, 6).t(),
        "empty": torch.empty(0, 3),
        "odd": torch.tensor([float("nan"), float("-inf"), -0.0]),
    }


def test_tensors_and_facts_come_back_to_the_bit(tmp_path: Path) -> None:
    tensors = states()
    facts = {"at": 120, "best": float("inf"), "rate": 0.1 + 0.2, "bits": {"stem": 4, "ä": None}, "log": [[1, 2.5]]}
    FileKeeper(tmp_path).save("3-qat", (tensors, facts))
    back, told = FileKeeper(tmp_path).load("3-qat") or ({}, {})
    assert told == facts
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (back[name].dtype, back[name].shape) == (tensor.dtype, tensor.shape)
        assert back[name].numpy().tobytes() == tensor.numpy().tobytes(), name
    assert back["weight"].is_contiguous(memory_format=torch.channels_last)
    assert back["plain"].is_contiguous()
    assert kept(tmp_path) == ["3-qat"]
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["3-qat.safetensors"]


def test_a_parameter_on_a_graph_is_kept_without_its_graph(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    FileKeeper(tmp_path).save("k", ({"w": weight * 2}, {}))
    assert torch.equal(FileKeeper(tmp_path).load("k")[0]["w"], torch.full((2,), 2.0))


def test_the_newest_state_counts_and_each_key_has_its_own(tmp_path: Path) -> None:
    keeper = FileKeeper(tmp_path)
    assert keeper.load("3-qat") is None
    for at in (1, 2):
        keeper.save("3-qat", ({"w": torch.tensor([at])}, {"at": at}))
    keeper.save("4-qat", ({}, {"at": 9}))
    assert keeper.load("3-qat")[1] == {"at": 2}
    assert keeper.load("4-qat") == ({}, {"at": 9})


def test_dying_while_saving_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = FileKeeper(tmp_path)
    keeper.save("k", ({"w": torch.tensor([1.0])}, {"at": 1}))

    def half(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half of a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", half)
    with pytest.raises(QexploreError, match=r"cannot be written \(.*No space left on device\); make room") as told:
        keeper.save("k", ({"w": torch.tensor([2.0])}, {"at": 2}))
    assert "\n" not in str(told.value)
    assert keeper.load("k")[1] == {"at": 1}


@pytest.mark.parametrize("damage", ["cut", "emptied", "turned to text", "without facts"])
def test_a_damaged_checkpoint_is_told_once_and_counts_as_absent(tmp_path: Path, damage: str) -> None:
    events: list[Event] = []
    keeper = FileKeeper(tmp_path, Report(events.append))
    keeper.save("3-qat", ({"w": torch.arange(1000.0)}, {"at": 1}))
    file = tmp_path / "checkpoints" / "3-qat.safetensors"
    whole = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(whole[:-100])
        case "emptied":
            file.write_bytes(b"")
        case "turned to text":
            file.write_text("no tensors here " * 100)
        case _:
            file.write_bytes(whole.replace(b'"facts"', b'"fatcs"'))
    assert keeper.load("3-qat") is None
    (event,) = events
    assert event["event"] == "log"
    assert "3-qat starts anew" in event["text"]
    assert "\n" not in event["text"]
    keeper.save("3-qat", ({}, {"at": 2}))
    assert keeper.load("3-qat") == ({}, {"at": 2})


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_a_key_that_is_no_file_name_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(QexploreError, match="called by letters, digits and dashes"):
        FileKeeper(tmp_path).save(key, ({}, {}))
    assert not (tmp_path / "checkpoints").exists()


def test_facts_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "LARGEST_FACTS", 100)
    with pytest.raises(QexploreError, match="put them into tensors"):
        FileKeeper(tmp_path).save("k", ({}, {"log": list(range(100))}))


@pytest.mark.parametrize("linking", [True, False])
def test_what_was_inherited_stays_whatever_becomes_of_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linking: bool
) -> None:
    if not linking:

        def refuse(*_: object) -> None:
            raise OSError("no links here")

        monkeypatch.setattr("qexplore.runs.inheritance.os.link", refuse)
    for name in ("parent", "child"):
        (tmp_path / name).mkdir()
    parent, child = FileKeeper(tmp_path / "parent"), FileKeeper(tmp_path / "child")
    parent.save("k", ({}, {"at": 1}))
    inherit(tmp_path / "parent", tmp_path / "child")
    parent.save("k", ({}, {"at": 99}))
    assert child.load("k") == ({}, {"at": 1})
    child.save("k", ({}, {"at": 2}))
    assert parent.load("k") == ({}, {"at": 99})


def ended(shelf: Store, run_id: str, state: str) -> str:
    Records(shelf.root).finish(run_id, state)
    return run_id


@pytest.mark.parametrize("state", ["cancelled", "failed", "lost"])
def test_a_resumed_run_goes_on_from_the_newest_checkpoint_of_its_line(shelf: Store, state: str) -> None:
    first = shelf.submit(SPEC)
    FileKeeper(shelf.folder(first)).save("3-qat", ({}, {"at": 1}))
    FileKeeper(shelf.folder(first)).save("1-prune", ({}, {"at": 7}))
    second = shelf.resume(ended(shelf, first, state))
    FileKeeper(shelf.folder(second)).save("3-qat", ({}, {"at": 2}))
    third = shelf.resume(ended(shelf, second, state))
    fourth = shelf.resume(ended(shelf, third, state))  # the third ended before it began
    for run_id in (first, second, third):
        shelf.delete(run_id)
    keeper = FileKeeper(shelf.folder(fourth))
    assert (keeper.load("3-qat"), keeper.load("1-prune")) == (({}, {"at": 2}), ({}, {"at": 7}))
    assert shelf.checkpoints(fourth) == ["1-prune", "3-qat"]


@pytest.mark.parametrize("state", ["done", "cancelled"])
def test_a_run_that_is_repeated_starts_from_the_beginning(state: str, shelf: Store) -> None:
    run_id = shelf.submit(SPEC)
    FileKeeper(shelf.folder(run_id)).save("3-qat", ({}, {"at": 1}))
    again = shelf.repeat(ended(shelf, run_id, state))
    assert (shelf.run(again).spec, shelf.run(again).parent, shelf.checkpoints(again)) == (SPEC, None, [])


class Stopped(BaseException):
    """Raised by a report, as a wish to cancel is."""


@pytest.fixture
def count_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A step that counts to `to`, keeps where it is when it is stopped, and notes what it counted."""
    counted: list[int] = []

    def count(network: Network, calibration: Calibration, report: Report, *, to: int = 3) -> Network:
        """Counts up."""
        assert calibration.teacher is not None
        assert calibration.key == "1-count-up"
        known = calibration.keeper.load(calibration.key) if calibration.keeper else None
        at = 0 if known is None else known[1]["at"]
        while at < to:
            at += 1
            counted.append(at)
            if calibration.keeper:
                calibration.keeper.save(calibration.key, ({"at": torch.tensor(at)}, {"at": at}))
            report.event("training", at=at)
        return network

    monkeypatch.setitem(STEPS._entries, "countup", ("count-up", count))
    return counted


def test_a_step_finds_its_key_its_keeper_and_its_teacher(count_up: list[int]) -> None:
    task = qx.Task("mobilenet-digits")
    assert qx.run(task, RECIPE).steps["name"].tolist() == ["fp32", "fold-bn", "Count Up"]
    assert count_up == [1, 2, 3, 4, 5]


def test_the_job_of_a_stopped_recipe_goes_on_where_it_was(tmp_path: Path, count_up: list[int]) -> None:
    def stop(event: Event) -> None:
        if event["event"] == "training" and event["at"] == 3:
            raise Stopped

    spec = {**SPEC, "recipe": RECIPE}
    with pytest.raises(Stopped):
        recipe(spec, Report(stop), tmp_path)
    recipe(spec, Report(), tmp_path)
    assert count_up == [1, 2, 3, 4, 5]
