"""A task of one's own is tried before it is stored, served like one of the zoo's, and gone when it is removed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import qexplore as qx
from qexplore import zoo
from qexplore.errors import QexploreError, UnknownName
from qexplore.zoo import own
from qexplore.zoo.labels import numbers_of, order_told
from qexplore.zoo.networks import open_network
from qexplore.zoo.preprocessing import Preprocessing
from tests.zoo.own_parts import FACTORY, factory, masked, network, pictures

PLAIN = Preprocessing(3, None, None, (0.0,) * 3, (1.0,) * 3)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """The task "mine": weights of one's own on 24 pictures of two classes."""
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    source, folder = factory(tmp_path), pictures(tmp_path / "photos")
    weights = tmp_path / "w.safetensors"
    own.add("mine", model=source, weights=weights, data=str(folder), title="My photographs", local=True)
    return "mine"


def everything(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in (home / "tasks").rglob("*")} if (home / "tasks").exists() else set()


def test_an_own_task_opens_by_name_as_those_of_the_zoo_do(mine: str) -> None:
    assert zoo.names() == (*zoo.ENTRIES.names(), mine)
    entry = zoo.entry("Mine")
    assert (entry.name, entry.own, entry.title) == (mine, True, "My photographs")
    assert "2 classes" in entry.description
    task = qx.Task(mine)
    assert (task.name, task.metric) == (mine, "accuracy")
    assert task.preprocessing == PLAIN
    assert task.data.classes == ("cat", "dog")
    assert task.data.count("calibration") + task.data.count("evaluation") == 24
    assert 0 <= qx.run(task, "w8a8").accuracy.value <= 1


def test_the_weights_are_kept_where_their_file_goes_away(mine: str, tmp_path: Path) -> None:
    before = qx.Task(mine).model.state_dict()
    (tmp_path / "w.safetensors").unlink()
    after = qx.Task(mine).model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_sources_mean_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    factory(tmp_path)
    pictures(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    own.add("mine", model="mine.py:network", data="photos", local=True)
    monkeypatch.chdir("/")
    assert qx.Task("mine").data.classes == ("cat", "dog")


def test_removing_forgets_the_task_and_leaves_the_images(mine: str, home: Path, tmp_path: Path) -> None:
    own.remove(mine)
    assert mine not in zoo.names()
    assert everything(home) == set()
    assert len(list((tmp_path / "photos").rglob("*.png"))) == 24
    with pytest.raises(UnknownName, match="There is no task of your own 'mine'"):
        own.remove(mine)
    with pytest.raises(QexploreError, match="belongs to the zoo and cannot be removed"):
        own.remove("resnet-digits")


def test_what_a_stopped_adding_has_left_goes_with_the_next(home: Path, tmp_path: Path) -> None:
    for name in (".adding-stopped", ".theirs.7.gone", ".adding-going-on"):
        (home / "tasks" / name).mkdir(parents=True)
    for name in (".adding-stopped", ".theirs.7.gone"):
        os.utime(home / "tasks" / name, (0, 0))
    own.add("mine", model=factory(tmp_path), data=str(pictures(tmp_path / "photos")), local=True)
    assert everything(home) == {"tasks/.adding-going-on", "tasks/mine", "tasks/mine/task.json"}


def test_an_unknown_name_is_told_the_nearest_own_task(mine: str) -> None:
    with pytest.raises(UnknownName, match="did you mean 'mine'"):
        qx.Task("mime")


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "../up", "a b", "ä", "x" * 65, "con\n", "resnet-digits", "Mine"]
)
def test_a_name_that_cannot_be_or_is_taken_is_refused(name: str, mine: str, home: Path) -> None:
    before = everything(home)
    with pytest.raises(QexploreError, match=r"is no name for a task|belongs to the zoo|There is a task 'mine' already"):
        own.add(name, model="mobilenet-digits", data="digits")
    assert everything(home) == before


def trouble(folder: Path) -> dict[str, tuple[dict[str, object], str]]:
    source = factory(folder)
    save_file(network(5).state_dict(), folder / "five.safetensors")
    save_file({"a": torch.zeros(2)}, folder / "other.safetensors")
    np.savez(folder / "grey.npz", x=np.zeros((20, 1, 8, 8), np.float32), y=np.arange(20) % 2)
    np.savez(folder / "many.npz", x=np.zeros((20, 3, 8, 8), np.float32), y=np.arange(20) % 5)
    photos, one = pictures(folder / "photos"), pictures(folder / "one", ("cat",))
    three = pictures(folder / "three", ("a", "b", "c"))
    return {
        "weights": ({"model": source, "weights": folder / "five.safetensors", "data": photos}, "5 classes where the"),
        "other": ({"model": source, "weights": folder / "other.safetensors", "data": photos}, "another architecture"),
        "no data": ({"model": source, "data": folder / "nowhere"}, "There is no folder"),
        "one class": ({"model": source, "data": one}, "holds one class only"),
        "three classes": ({"model": source, "data": three}, "are of 3 classes and .* tells only 2 apart"),
        "grey": ({"model": source, "data": f"npz:{folder / 'grey.npz'}"}, "have 1 channel and .* takes 3: give RGB"),
        "labels": ({"model": source, "data": f"npz:{folder / 'many.npz'}"}, "classes 0 to 1"),
        "few": ({"model": "mobilenet-digits", "data": photos}, "of 2 classes, mobilenet-digits tells 10 apart"),
        "local": ({"model": source, "data": photos, "local": False}, "only the command line may"),
    }


def test_what_makes_no_task_gets_one_sentence_and_stores_nothing(tmp_path: Path, home: Path) -> None:
    for case, (words, sentence) in trouble(tmp_path).items():
        words = {"local": True} | words | {"data": str(words["data"])}
        with pytest.raises(QexploreError, match=sentence) as told:
            own.add("mine", **words)  # type: ignore[arg-type]
        assert "\n" not in str(told.value), case
        assert everything(home) == set(), case
        assert zoo.names() == zoo.ENTRIES.names(), case


def test_a_network_that_gives_maps_goes_with_masks_alone(tmp_path: Path) -> None:
    file = factory(tmp_path).rpartition(":")[0]
    own.add("maps", model=f"{file}:pixels", data=str(masked(tmp_path / "maps")), local=True)
    assert zoo.entry("maps").source is not None
    assert zoo.entry("maps").source["segmentation"]
    task = qx.Task("maps")
    assert task.metric == "miou"
    assert 0 <= qx.run(task, "w8a8").accuracy.value <= 1
    with pytest.raises(QexploreError, match="a class for each pixel and the images have one each"):
        qx.Task.of(f"{file}:pixels", str(pictures(tmp_path / "photos")), local=True)
    with pytest.raises(QexploreError, match=r"have masks and .* gives one class for the whole image"):
        qx.Task.of(f"{file}:network", str(tmp_path / "maps"), local=True)


def test_weights_go_into_a_module_that_one_holds(tmp_path: Path) -> None:
    save_file({name: value + 1 for name, value in network().state_dict().items()}, tmp_path / "w.safetensors")
    model = network()
    before = model[0].weight.detach().clone()
    task = qx.Task.of(model, str(pictures(tmp_path / "photos")), weights=tmp_path / "w.safetensors")
    assert task.model is model
    assert not torch.equal(model[0].weight, before)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_in_another_precision_is_taken_in_float32_and_the_users_left_alone(
    kind: torch.dtype, tmp_path: Path
) -> None:
    model = network().to(kind)
    task = qx.Task.of(model, str(pictures(tmp_path / "photos")))
    assert {value.dtype for value in task.model.parameters()} == {torch.float32}
    assert {value.dtype for value in model.parameters()} == {kind}
    assert qx.run(task, "w8a8").accuracy.images == task.data.count("evaluation")


def test_a_factorys_network_in_float16_can_be_added(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "halved.py"
    file.write_text(f"{FACTORY}\ndef half():\n    return network().half()\n")
    own.add("halved", model=f"{file}:half", data=str(pictures(tmp_path / "photos")), local=True)
    assert {value.dtype for value in qx.Task("halved").model.parameters()} == {torch.float32}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_take_no_more_room_than_their_file(kind: torch.dtype, tmp_path: Path) -> None:
    source, place = factory(tmp_path), tmp_path / "w.safetensors"
    model = open_network(source, local=True).module.to(kind)
    save_file(model.state_dict(), place)
    own.add("light", model=source, data=str(pictures(tmp_path / "photos")), weights=place, local=True)
    assert (own.place() / "light" / own.WEIGHTS).stat().st_size <= place.stat().st_size + 64
    opened = qx.Task("light").model.state_dict()
    assert all(torch.equal(value, opened[name].to(kind)) for name, value in model.state_dict().items())


def test_what_is_no_network_is_told(tmp_path: Path) -> None:
    with pytest.raises(QexploreError, match=r"a network is a name or a torch\.nn\.Module, not 'int'"):
        qx.Task.of(3, str(pictures(tmp_path / "photos")))  # type: ignore[arg-type]


def test_grey_pictures_are_made_what_the_network_takes(tmp_path: Path) -> None:
    task = qx.Task.of(factory(tmp_path), str(pictures(tmp_path / "grey", mode="L")), local=True)
    assert task.example.shape == (1, 3, 8, 8)


def test_fewer_pictures_than_a_batch_are_enough(tmp_path: Path) -> None:
    task = qx.Task.of(factory(tmp_path), str(pictures(tmp_path / "few", count=2)), local=True)
    assert qx.run(task, "w8a8").accuracy.images == task.data.count("evaluation") <= 4


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', '{"format": 99}', "[" * 100_000])
def test_a_damaged_task_hides_no_other_and_is_told_when_named(damage: str, mine: str, home: Path) -> None:
    shutil.copytree(home / "tasks" / mine, home / "tasks" / "hurt")
    (home / "tasks" / "hurt" / "task.json").write_text(damage)
    (home / "tasks" / "stray.txt").write_text("no task")
    assert zoo.names()[-1] == mine
    with pytest.raises(QexploreError, match=r"task 'hurt' cannot be read from .*task remove hurt") as told:
        qx.Task("hurt")
    assert not isinstance(told.value, UnknownName)
    own.remove("hurt")
    with pytest.raises(UnknownName):
        qx.Task("hurt")


def test_listing_own_tasks_imports_no_torch_and_sees_changes_at_once(mine: str, home: Path) -> None:
    code = f"import sys, qexplore.zoo as z; sys.exit(z.names()[-1] != {mine!r} or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    path = home / "tasks" / mine / "task.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"title": "Another title"}))
    assert zoo.entry(mine).title == "Another title"


CATEGORIES = ("great white shark", "tench", "goldfish", "crane", "crane")


@pytest.mark.parametrize(
    ("folders", "outputs", "categories", "fresh", "expected"),
    [
        (("a", "b"), 2, None, False, None),
        (("goldfish", "Great_White-Shark"), 5, CATEGORIES, False, (2, 0)),
        (("goldfish", "great white shark", "tench"), 3, CATEGORIES[:3], False, (2, 0, 1)),
        (("n01440764", "n01443537"), 2, ("tench", "goldfish"), False, None),
        (("0", "17", "3"), 20, None, False, (0, 17, 3)),
        (("a", "b"), 20, None, True, None),
        (("cat", "deer", "plane"), 3, ("plane", "bird", "cat"), True, None),
    ],
)
def test_class_folders_find_their_outputs(folders, outputs, categories, fresh, expected) -> None:  # type: ignore[no-untyped-def]
    assert numbers_of(folders, outputs, categories, "net", fresh=fresh) == expected


@pytest.mark.parametrize(
    ("folders", "outputs", "categories", "sentence"),
    [
        (("a", "b", "c"), 2, None, "of 3 classes and net tells only 2 apart"),
        (("n01440764", "tench"), 5, CATEGORIES, "'n01440764' cannot be found among its categories, such as 'great"),
        (("crane", "tench"), 5, CATEGORIES, "call each folder as its category or by the number of its output, 0 to 4"),
        (("cat", "deer", "plane"), 3, ("plane", "bird", "cat"), "'deer' cannot be found among its categories"),
        (("cat", "Cat", "bird"), 3, ("plane", "bird", "cat"), "'cat', 'Cat' mean the same among its categories"),
        (("crane", "goldfish", "tench", "a", "b"), 5, CATEGORIES, "'crane', 'a', 'b' cannot be found"),
        (("1", "01"), 5, None, "its outputs have no names; call each folder by the number"),
        (("7", "3"), 5, None, "0 to 4"),
    ],
)
def test_folders_that_could_mean_anything_are_refused(folders, outputs, categories, sentence) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(QexploreError, match=sentence):
        numbers_of(folders, outputs, categories, "net")


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        ([str(number) for number in range(10)], False),
        (sorted(str(number) for number in range(12)), True),
        ([f"{number:02}" for number in range(12)], False),
        (["cat", "dog", "2"], False),
    ],
)
def test_numbered_folders_whose_order_could_be_another_are_told(folders: list[str], told: bool) -> None:
    sentence = order_told(folders)
    assert (sentence is not None) == told
    if sentence:
        assert "(0, 1, 10, …)" in sentence
        assert "such as 01." in sentence


def test_a_network_of_twelve_is_told_how_its_twelve_numbered_folders_are_read(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 12))
    names = [str(number) for number in range(12)]
    padded = [name.zfill(2) for name in names]
    for folders, told in ((names, True), (padded, False)):
        task = qx.Task.of(model, str(pictures(tmp_path / str(told), tuple(folders))))
        assert any("alphabetical order" in notice for notice in task.data.notices) == told
    with pytest.raises(QexploreError, match="by the number of its output, 00 to 11"):
        qx.Task.of(model, str(pictures(tmp_path / "unknown", ("x", "y"))))


def test_labels_follow_the_names_of_the_folders(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", ("9", "7"))
    task = qx.Task.of("mobilenet-digits", str(folder))
    _, labels = task.data.tensors("evaluation")
    assert set(labels.tolist()) == {7, 9}
    assert task.name == f"mobilenet-digits on {folder}"
