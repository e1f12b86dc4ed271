"""The zoo is data: entries name things that exist, and reading them needs no torch."""

import subprocess
import sys

import pytest

from qexplore import zoo
from qexplore.errors import UnknownName
from qexplore.zoo.checkpoint import FOLDER
from qexplore.zoo.entries import resolve

LARGEST = {  # bytes of the shipped checkpoint
    "mobilenet-digits": 300_000,
    "resnet-digits": 300_000,
    "mobilenet-digits-unbalanced": 300_000,
    "resnet20-cifar10": 1_200_000,
    "mobilenetv2-cifar10": 10_000_000,
}


def test_the_tasks_of_the_zoo_are_listed() -> None:
    assert zoo.names() == tuple(LARGEST)


@pytest.mark.parametrize("name", LARGEST)
def test_checkpoints_are_shipped_and_small(name: str) -> None:
    assert (FOLDER / zoo.entry(name).checkpoint).stat().st_size <= LARGEST[name]


@pytest.mark.parametrize("name", LARGEST)
def test_what_an_entry_names_exists(name: str) -> None:
    entry = zoo.entry(name)
    assert all(callable(resolve(path)) for path in (entry.build, entry.data, entry.train))
    assert entry.title
    assert entry.description
    assert entry.teaches
    assert entry.base is None or entry.base in zoo.ENTRIES


def test_only_the_unbalanced_twin_is_made_on_purpose() -> None:
    assert [name for name in zoo.names() if zoo.entry(name).made_on_purpose] == ["mobilenet-digits-unbalanced"]
    assert "on purpose" in str(zoo.entry("mobilenet-digits-unbalanced").made_on_purpose)


def test_an_unknown_task_is_told_the_nearest_ones() -> None:
    with pytest.raises(UnknownName, match=r"There is no task 'mobilnet-digits'; did you mean 'mobilenet-digits'"):
        zoo.entry("mobilnet-digits")


def test_listing_the_zoo_imports_no_torch() -> None:
    code = "import sys, qexplore.zoo.entries, qexplore.zoo as z; z.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
