"""Networks and images of one's own, on the command line: with a name and without one."""

from __future__ import annotations

import pytest
from safetensors.torch import save_file

from qexplore.zoo.cifar import CLASSES
from tests.zoo.own_parts import factory, network, pictures

NOWHERE = "/nowhere/at/all"


@pytest.fixture
def parts(tmp_path):
    """The words that name a network and its images."""
    return ["--model", factory(tmp_path), "--data", str(pictures(tmp_path / "photos"))]


def test_a_task_is_added_listed_used_and_removed(say, parts, tmp_path):
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    added = say(
        "task", "add", "mine", *parts, "--weights", str(tmp_path / "w.safetensors"), "--title", "Mine", "--json"
    )
    assert added.status == 0, added.err
    assert (added.document["name"], added.document["classes"]) == ("mine", ["cat", "dog"])
    assert "mean 0 0 0" in added.err
    assert [one["name"] for one in say("task", "list", "--json").document] == ["mine"]
    assert [one["name"] for one in say("zoo", "--json").document if one["own"]] == ["mine"]
    assert "your own" in say("zoo").out
    run = say("run", "w8a8", "--task", "mine", "--json")
    assert run.status == 0, run.err
    assert run.document["task"] == "mine"
    assert say("task", "remove", "mine").out == "mine: removed\n"
    assert say("task", "list", "--json").document == []


def test_every_verb_takes_a_network_and_images_without_a_name(say, parts):
    for words in (
        ["run", "w8a8"],
        ["ablate", "w8a8"],
        ["debug", "w8a8"],
        ["sensitivity", "--metric", "sqnr", "--bits", "4,8"],
        ["allocate", "--metric", "sqnr", "--bits", "4,8", "--weight-bits", "6"],
    ):
        spoken = say(*words, *parts, "--json")
        assert spoken.status == 0, spoken.err
        assert spoken.document


@pytest.fixture
def digits(tmp_path):
    """A folder of grey pictures that are called like digits."""
    return pictures(tmp_path / "digits", tuple("01"), mode="L")


def test_a_task_of_the_zoo_with_other_images_is_its_network_on_those(say, digits):
    named = say("run", "w8a8", "--task", "resnet-digits", "--data", str(digits), "--json")
    assert named.status == 0, named.err
    assert "Images as resnet-digits takes them: " in named.err
    assert named.document["task"] == f"resnet-digits on {digits}"
    apart = say("run", "w8a8", "--model", "resnet-digits", "--data", str(digits), "--json").document
    assert named.document["accuracy"] == apart["accuracy"]


def test_a_task_with_a_folder_that_holds_its_images_takes_them_from_there(say, tmp_path, monkeypatch):
    monkeypatch.setenv("QEXPLORE_DATA", str(tmp_path / "elsewhere"))
    for part, count in {"train": 10, "test": 2}.items():
        pictures(tmp_path / "photos" / "cifar10" / part, CLASSES, count)
        pictures(tmp_path / "elsewhere" / "cifar10" / part, CLASSES, count + 1)
    words = ["run", "w8a8", "--task", "resnet20-cifar10", "--json", "--data"]
    held = say(*words, str(tmp_path / "photos")).document
    assert (held["task"], held["fp32"]["images"]) == ("resnet20-cifar10", 20)
    other = pictures(tmp_path / "other", CLASSES[:2])
    assert say(*words, str(other)).document["task"] == f"resnet20-cifar10 on {other}"


def test_a_task_of_ones_own_keeps_its_images(say, parts, digits):
    say("task", "add", "mine", *parts)
    spoken = say("run", "w8a8", "--task", "mine", "--data", str(digits))
    assert spoken.status == 2
    assert "'mine' has images of its own: leave --data out" in spoken.last_words


def test_a_run_tells_what_it_could_not_quantize(say, parts, tmp_path):
    assert "not quantized" not in say("run", "w8a8", *parts).out
    (tmp_path / "batchy.py").write_text(
        "from torch import nn\n"
        "def network():\n"
        "    norm = nn.BatchNorm2d(4, track_running_stats=False)\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
    )
    spoken = say("run", "w8a8", "--model", f"{tmp_path / 'batchy.py'}:network", *parts[2:])
    assert "not quantized inside:\n  1: batch norm without running statistics" in spoken.out


DYNAMIC = """
from torch import nn

class Brighter(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 8), nn.Linear(4, 2)
    def forward(self, x):
        if x.mean() > 0:
            x = x * 2
        return self.fc(self.conv(x).flatten(1))

def inside():
    return nn.Sequential(Brighter(), nn.ReLU())
"""


def test_a_network_whose_path_hangs_on_the_image_makes_no_task(say, parts, tmp_path):
    (tmp_path / "dynamic.py").write_text(DYNAMIC)
    spoken = say("task", "add", "mine", "--model", f"{tmp_path / 'dynamic.py'}:Brighter", *parts[2:])
    assert spoken.status == 2
    assert "Brighter cannot be traced" in spoken.last_words
    assert "into a submodule, which then stays unquantized" in spoken.last_words
    assert say("task", "list", "--json").document == []


def test_a_part_that_stays_whole_is_told_when_a_task_is_added(say, parts, tmp_path):
    (tmp_path / "dynamic.py").write_text(DYNAMIC)
    spoken = say("task", "add", "mine", "--model", f"{tmp_path / 'dynamic.py'}:inside", *parts[2:])
    assert spoken.status == 0, spoken.err
    assert "Quantized at its borders only, not inside: 0 (not traceable:" in spoken.err
    assert "not inside" not in say("task", "add", "other", *parts).err


def test_a_task_reads_as_text(say, parts):
    assert say("task").out == say("task", "list").out == "No tasks of your own; add one: task add.\n"
    assert "cat, dog" in say("task", "add", "mine", *parts).out
    assert "mine.py:network" in say("task", "list").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "w8a8"], "give --task NAME or --model with --data"),
        (["run", "w8a8", "--model", "torchvision:resnet18@random"], "--model needs --data beside it"),
        (["run", "w8a8", "--data", "."], "--data needs --model beside it"),
        (["run", "w8a8", "--task", "resnet-digits", "--model", "m", "--data", "d"], "--task and --model say two"),
        (["run", "w8a8", "--task", "resnet-digits", "--data", NOWHERE], f"There is no folder {NOWHERE}"),
        (["run", "w8a8", "--model", "torchvision:resnt18@random", "--data", "."], "did you mean 'resnet18'"),
        (["run", "w8a8", "--model", "mobilenet-digits", "--data", NOWHERE], "There is no folder"),
        (["allocate", "--weight-bits", "4"], "give --task NAME, --table or --model with --data"),
        (["allocate", "--weight-bits", "4", "--table", "t", "--task", "resnet-digits"], "--table and --task say two"),
        (["train", "resnet20-cifar10", "--data", NOWHERE], "There is no folder"),
        (["task", "add"], "task add takes the NAME of the task"),
        (["task", "list", "mine"], "task list takes no NAME"),
        (
            ["task", "--model", "mobilenet-digits"],
            "task list takes no --model, --data or --weights; task add NAME does",
        ),
        (["task", "remove", "mine"], "There is no task of your own 'mine'"),
        (["task", "add", "mine", "--model", "mobilenet-digits"], "needs both, a network and its images"),
        (["task", "add", "a/b", "--model", "mobilenet-digits", "--data", "digits"], "is no name for a task"),
        (
            ["task", "add", "a", "--model", "resnet-digits", "--weights", "w.pt", "--data", "digits"],
            "no file of weights",
        ),
        (["task", "ad", "mine"], "invalid choice"),
    ],
)
def test_wrong_words_get_one_sentence(say, words, told):
    spoken = say(*words)
    assert spoken.status == 2, spoken.err
    assert told in spoken.last_words
    assert "Traceback" not in spoken.err
    assert spoken.out == ""
