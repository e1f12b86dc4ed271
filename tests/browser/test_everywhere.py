"""What holds for every page: it fits a phone, opens in the dark, and makes no request beyond this machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from qexplore.runs import Store
from qexplore.runs.records import Records
from tests.browser.helpers import fits, settled
from tests.browser.look import PAGES, forgive_probes, go, slider
from tests.executors import Idle


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_needs_no_sideways_scroll(
    path: str, app_url: str, open_page: Callable[..., Page], errors: list[str]
) -> None:
    page = open_page(width=390, height=844)
    go(page, app_url, path)
    page.wait_for_timeout(2500)
    assert fits(page)
    wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert wide <= 390
    forgive_probes(errors)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_opens_in_the_dark_without_an_error(
    path: str, app_url: str, open_page: Callable[..., Page], errors: list[str]
) -> None:
    page = open_page(dark=True)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    go(page, app_url, path)
    page.wait_for_timeout(2000)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert [url for url in asked if not url.startswith((app_url, "data:", "blob:"))] == []
    forgive_probes(errors)


def test_ways_on_arrive_at_their_task_and_site(
    page: Page, app_url: str, open_page: Callable[..., Page], errors: list[str]
) -> None:
    go(page, app_url, "ranges?task=resnet-digits&site=blocks.1.first.conv.weight&b=3")
    onward = page.get_by_role("link", name="Open in Quantizer")
    expect(onward).to_be_visible(timeout=30_000)
    onward.click()
    expect(page.get_by_role("heading", name="Quantizer").first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("ResNet on digits").first).to_be_visible()
    expect(page.get_by_role("combobox", name="site")).to_have_value("blocks.1.first.conv.weight")
    page.get_by_role("link", name="Sensitivity").first.click()  # the navigation brings the task along as well
    expect(page.get_by_role("heading", name="Sensitivity").first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("ResNet on digits").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("combobox", name="site")).to_have_value("blocks.1.first.conv.weight", timeout=30_000)
    expect(page.get_by_text("ResNet on digits").first).to_be_visible()
    forgive_probes(errors)


def test_back_leads_to_the_page_before_as_it_was_left(page: Page, app_url: str, errors: list[str]) -> None:
    go(page, app_url, "budgets")
    first = page.evaluate("history.length")
    slider(page, "average weight bits").press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"/budgets\?w="), timeout=30_000)
    left = page.url
    for entries, (name, path) in enumerate((("Quantizer", "quantizer"), ("Network", "network")), start=1):
        page.get_by_role("link", name=name, exact=True).first.click()
        expect(page).to_have_url(f"{app_url}/{path}", timeout=30_000)  # what Budgets alone has bound is dropped
        if path == "quantizer":
            page.locator("[data-set=bits]").press("ArrowRight")
            expect(page).to_have_url(re.compile("grid="), timeout=30_000)
        assert page.evaluate("history.length") == first + entries
    page.go_back()
    expect(page.locator("[data-set=bits]")).to_have_value("5", timeout=30_000)
    settled(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Budgets").first).to_be_visible(timeout=30_000)
    expect(page).to_have_url(left)
    forgive_probes(errors)


def test_what_the_next_page_drops_too_early_stays_in_the_address_that_is_left(
    page: Page, app_url: str, errors: list[str]
) -> None:
    """Under load Streamlit drops the settings of the page that is left before it goes on, as here."""
    go(page, app_url, "budgets")
    slider(page, "average weight bits").press("ArrowLeft")
    expect(page).to_have_url(re.compile(r"/budgets\?w="), timeout=30_000)
    left = page.url
    settled(page)
    page.get_by_role("heading", name="Budgets").first.click()
    page.evaluate("history.pushState({}, '', '/budgets')")
    page.evaluate("history.pushState({}, '', '/quantizer')")
    page.go_back()
    expect(page).to_have_url(left)
    page.get_by_role("heading", name="Budgets").first.click()
    page.evaluate("history.pushState({}, '', '/budgets?w=4')")  # what is set meanwhile is no loss
    page.evaluate("history.pushState({}, '', '/quantizer')")
    page.go_back()
    expect(page).to_have_url(f"{app_url}/budgets?w=4")
    forgive_probes(errors)


def test_on_a_phone_no_link_is_cut_off(app_url: str, app_folder: Path, open_page: Callable[..., Page]) -> None:
    shelf = Store(app_folder / "home", executor=Idle())
    spec = {"kind": "recipe", "task": "mobilenet-digits", "recipe": "standard-w4a4-per-tensor", "seed": 0}
    accuracy = {"value": 0.9, "low": 0.8, "high": 1.0, "images": 500}
    Records(shelf.root).finish(shelf.submit(spec), "done", result={"accuracy": accuracy})
    page = open_page(width=390, height=844)
    go(page, app_url)
    link = page.get_by_test_id("stPageLink").filter(has_text="standard-w4a4-per-tensor").first
    expect(link).to_be_visible(timeout=30_000)
    text = link.get_by_test_id("stMarkdownContainer")
    assert text.evaluate("text => text.scrollWidth <= text.clientWidth")
    assert text.bounding_box()["height"] > 30  # two lines
