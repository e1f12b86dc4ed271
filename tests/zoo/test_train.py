"""Checkpoints can be made again: same seed, same weights; what cannot be written is refused before the work."""

import json
from pathlib import Path

import pytest
import torch

from qexplore import zoo
from qexplore.errors import QexploreError, UnknownName
from qexplore.report import Event, Report
from qexplore.zoo.augmentation import shifted
from qexplore.zoo.checkpoint import FOLDER, load_weights
from qexplore.zoo.fitting import Settings, fit_entry
from qexplore.zoo.keeping import Work
from qexplore.zoo.task import fresh_model
from qexplore.zoo.train import train

SHORT = Settings(epochs=2)


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_training_repeats_itself_for_a_seed_and_leaves_torch_as_it_was(name: str) -> None:
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    first, again, other = (
        fit_entry(zoo.entry(name), seed, Report(), None, Settings(epochs=1)).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.get_num_threads() == threads


def test_training_reports_its_progress_and_a_falling_loss() -> None:
    events: list[Event] = []
    fit_entry(zoo.entry("resnet-digits"), 0, Report(events.append), None, SHORT)
    assert [e["done"] for e in events if e["event"] == "progress"] == [0, 1, 2]
    losses = [e["loss"] for e in events if e["event"] == "epoch"]
    assert losses[1] < losses[0]
    json.dumps(events)


def test_a_report_that_raises_stops_the_training() -> None:
    def stop(event: Event) -> None:
        if event.get("done") == 1:
            raise KeyboardInterrupt

    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        fit_entry(zoo.entry("resnet-digits"), 0, Report(stop))
    assert torch.get_num_threads() == threads


def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    entry, settings = zoo.entry("resnet-digits"), Settings(epochs=3)
    whole = fit_entry(entry, 0, Report(), None, settings).state_dict()

    def stop(event: Event) -> None:
        if event.get("done") == 2:
            raise KeyboardInterrupt

    work = Work(tmp_path / "net.safetensors")
    with pytest.raises(KeyboardInterrupt):
        fit_entry(entry, 0, Report(stop), work, settings)
    events: list[Event] = []
    resumed = fit_entry(entry, 0, Report(events.append), work, settings).state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert [event["text"] for event in events if event["event"] == "log"] == [
        f"The training goes on after epoch 2, as {tmp_path / 'net.unfinished'} has kept it."
    ]
    assert [event["done"] for event in events if event["event"] == "progress"] == [2, 3]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2, 3]


def test_the_shipped_twin_is_made_again_bit_for_bit(tmp_path: Path) -> None:
    made = train("mobilenet-digits-unbalanced", tmp_path)
    name = "mobilenet-digits-unbalanced.safetensors"
    assert made["path"] == str(tmp_path / name)
    assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
    note = json.loads((tmp_path / "mobilenet-digits-unbalanced.json").read_text())
    assert note["accuracy"] == made["accuracy"]
    assert note["base"] == "mobilenet-digits"
    assert "on purpose" in note["made_on_purpose"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_the_command_makes_a_checkpoint_as_good_as_the_shipped_one(name: str, tmp_path: Path) -> None:
    made = train(name, tmp_path / "net.safetensors")
    assert made["accuracy"]["right"] >= 490
    assert made["seconds"] < 180
    load_weights(fresh_model(zoo.entry(name)), Path(made["path"]), name)


def test_shifted_images_are_the_images_moved_by_whole_pixels() -> None:
    x = torch.rand(50, 2, 5, 4)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    moved = [padded[:, :, i : i + 5, j : j + 4] for i in range(3) for j in range(3)]
    for index, image in enumerate(shifted(x, 1)):
        assert any(torch.equal(image, candidate[index]) for candidate in moved)


def test_wrong_words_are_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no task 'resnet'"):
        train("resnet")
    with pytest.raises(QexploreError, match="seed is -1"):
        train("resnet-digits", tmp_path, seed=-1)
    with pytest.raises(QexploreError, match="number of threads is 0"):
        train("resnet-digits", tmp_path, threads=0)
    with pytest.raises(QexploreError, match=r"'net\.pt' names another kind, end it in \.safetensors"):
        train("resnet-digits", "net.pt")
    (tmp_path / "file").write_text("")
    with pytest.raises(QexploreError, match="cannot be made"):
        train("resnet-digits", tmp_path / "file")
    (tmp_path / "net.safetensors").mkdir()
    with pytest.raises(QexploreError, match="cannot be written there"):
        train("resnet-digits", tmp_path / "net.safetensors")
