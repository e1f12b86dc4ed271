"""A visitor brings weights and a folder of images: they become a task, which is measured, and every page draws it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from safetensors.torch import save_file

from qexplore import zoo
from qexplore.zoo.task import fresh_model
from tests.browser.look import forgive_probes, go
from tests.pages.owned import pictures

ARCHITECTURE = "resnet20-cifar10"


@pytest.fixture
def weights(app_folder: Path, tmp_path: Path) -> Path:
    """A file of weights; beside it a folder of images that the served app may use."""
    pictures(tmp_path / "photographs" / "shapes", classes=10, each=6, side=32)
    setting = app_folder / "home" / "data.json"
    setting.parent.mkdir(exist_ok=True)
    setting.write_text(json.dumps({"folders": [str(tmp_path / "photographs")]}))
    file = tmp_path / "mine.safetensors"
    save_file(fresh_model(zoo.entry(ARCHITECTURE)).state_dict(), file)
    return file


def pick(page: Page, label: str, text: str) -> None:
    """Chooses an option of a selectbox by typing."""
    box = page.locator(".st-key-own").get_by_role("combobox", name=label)
    box.click()
    box.fill(text)
    page.get_by_role("option").filter(has_text=text).first.click()


def add(page: Page, url: str, file: Path, name: str) -> None:
    """Fills the form and presses its button; returns once the task is there."""
    go(page, url, "network?task=resnet-digits")
    pick(page, "network", ARCHITECTURE)
    page.locator("input[type=file]").set_input_files(file)
    pick(page, "images", "photographs/shapes")
    expect(page.get_by_text("10 classes, 60 pictures")).to_be_visible(timeout=30_000)
    page.get_by_label("name of the task").fill(name)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add and measure").click()
    expect(page.get_by_text(f"{name} is being measured")).to_be_visible(timeout=120_000)


def test_weights_that_are_uploaded_become_a_task_that_is_being_measured(
    page: Page, app_url: str, weights: Path, errors: list[str]
) -> None:
    add(page, app_url, weights, "brought")
    expect(page.get_by_text("your own", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Cancel").click(timeout=30_000)
    expect(page.get_by_role("button", name="Measure it now")).to_be_visible(timeout=30_000)
    forgive_probes(errors)


def test_a_damaged_file_leaves_the_open_task_as_it_is(
    page: Page, app_url: str, weights: Path, errors: list[str]
) -> None:
    weights.write_bytes(b"nothing of the kind")
    go(page, app_url, "network?task=resnet-digits")
    pick(page, "network", ARCHITECTURE)
    page.locator("input[type=file]").set_input_files(weights)
    pick(page, "images", "photographs/shapes")
    page.get_by_role("button", name="Add and measure").click(timeout=30_000)
    expect(page.get_by_text("is damaged or none at all")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("ResNet on digits").first).to_be_visible()
    forgive_probes(errors)


@pytest.mark.slow
def test_a_task_that_was_measured_is_drawn_by_itself(
    page: Page, app_url: str, weights: Path, errors: list[str]
) -> None:
    add(page, app_url, weights, "whole")
    go(page, app_url, "sensitivity?task=whole")
    expect(page.get_by_text("What to try next")).to_be_visible(timeout=900_000)
    forgive_probes(errors)
