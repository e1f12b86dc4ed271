"""Two journeys on Post-training: a step is switched off and measured; a culprit is found, repaired and measured."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.helpers import fits
from tests.browser.look import card, forgive_probes, go

UNSTORED = "task=mobilenet-digits-unbalanced&pipeline=corrected&format=W4A8"
ALL_OFF = f"{UNSTORED}&off=replace-relu6,equalize,absorb-high-bias,correct-bias"
MEASURED = 60_000  # ms until a short run has ended, its process started


@pytest.fixture(autouse=True)
def _streamlit_asks_below_its_pages(errors: list[str], open_page: object) -> object:
    yield
    forgive_probes(errors)


def switch(page: Page, step: str) -> None:
    page.locator(".st-key-switches label", has_text=step).first.click()


def test_a_step_that_is_switched_off_is_measured_and_stands_in_the_address(page: Page, app_url: str) -> None:
    go(page, app_url, f"post_training?{UNSTORED}")
    for step in ("equalize", "correct-bias"):
        switch(page, step)
        expect(page).to_have_url(re.compile(f"off=[^&]*{step}"), timeout=15_000)
    result = page.get_by_text(re.compile(r"Without equalize, correct-bias: \d+\.\d %"))
    expect(result).to_be_visible(timeout=MEASURED)
    page.reload()
    expect(result).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="All on").click()
    expect(page).not_to_have_url(re.compile("off="))
    expect(result).to_have_count(0)


def test_the_culprit_is_found_repaired_with_one_click_and_measured(page: Page, app_url: str) -> None:
    go(page, app_url, f"post_training?{ALL_OFF}&debug=as+above")
    page.get_by_role("button", name="Find the culprit").click()
    expect(page.locator(".qx-flow")).to_contain_text("the weights", timeout=120_000)
    expect(page.get_by_text("Unbalanced channels share a grid")).to_be_visible()
    page.locator(".st-key-culprits .mark-rect path").nth(5).click()
    leads = page.locator(".st-key-leads")
    expect(leads).to_contain_text("blocks.0.depthwise.conv.weight", timeout=15_000)
    expect(leads.get_by_role("link", name="Open in Ranges")).to_have_attribute(
        "href", re.compile("site=blocks.0.depth")
    )
    repair = page.locator("[class*=st-key-fix-]", has_text="equalized").first
    repair.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("instead of the picked recipe")).to_be_visible(timeout=15_000)
    expect(card(page, "^now")).to_have_text(re.compile(r"^9\d\.\d %$"), timeout=MEASURED)
    expect(card(page, "^change")).to_have_text(re.compile(r"^\+\d+\.\d points$"))
    expect(page.get_by_role("button", name="Applied")).to_be_disabled()


def test_a_measured_recipe_with_its_flowchart_fits_a_phone(open_page, app_url: str) -> None:
    phone = open_page(width=390, height=844)
    go(phone, app_url, f"post_training?{ALL_OFF}&debug=as+above")
    expect(phone.get_by_role("heading", name="Find the culprit")).to_be_visible()
    phone.wait_for_timeout(2000)
    assert fits(phone)
    assert phone.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
