"""A run asked for on a page goes on behind it, shows itself, and ends when told to."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.look import forgive_probes, go


@pytest.fixture(autouse=True)
def _streamlit_asks_below_its_pages(errors: list[str], open_page: object) -> object:
    yield
    forgive_probes(errors)


def test_a_recipe_is_measured_step_by_step_and_is_listed(page: Page, app_url: str) -> None:
    go(page, app_url, "post_training?task=resnet-digits&pipeline=corrected&format=W4A8")
    page.get_by_role("button", name="Measure each step").click()
    expect(page.get_by_text("Measured on this machine").first).to_be_visible(timeout=60_000)
    go(page, app_url, "runs")
    page.get_by_text("Ended").first.wait_for()
    go(page, app_url)
    expect(page.get_by_text("ablation of corrected-w4a8-per-tensor on resnet-digits").first).to_be_visible()


def test_the_cancel_button_ends_a_run(page: Page, app_url: str) -> None:
    go(page, app_url, "network?task=mobilenet-digits")
    anew = page.get_by_role("button", name="Measure anew")
    anew.click()
    expect(anew).to_be_disabled(timeout=30_000)  # the click has arrived: leaving before could lose it
    go(page, app_url, "runs")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.first.click(timeout=30_000)
    expect(page.get_by_text("Nothing waits or works")).to_be_visible(timeout=10_000)
    go(page, app_url)
    expect(page.get_by_text(re.compile("profile on mobilenet-digits")).first).to_be_visible()
    expect(page.get_by_text(re.compile("cancel", re.I)).first).to_be_visible()
