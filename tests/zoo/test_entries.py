"""The zoo is data: entries name things that exist, and reading them needs no torch."""

import subprocess
import sys

import pytest

from qexplore import zoo
from qexplore.errors import UnknownName
from qexplore.zoo.checkpoint import FOLDER
from qexplore.zoo.entries import resolve


def test_the_three_digit_tasks_are_listed() -> None:
    assert zoo.names() == ("mobilenet-digits", "resnet-digits", "mobilenet-digits-unbalanced")


@pytest.mark.parametrize("name", zoo.names())
def test_what_an_entry_names_exists(name: str) -> None:
    entry = zoo.entry(name)
    assert all(callable(resolve(path)) for path in (entry.build, entry.data, entry.train))
    assert (FOLDER / entry.checkpoint).stat().st_size <= 300_000
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
