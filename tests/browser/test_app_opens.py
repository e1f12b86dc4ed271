"""The app opens in a real browser, with the settings of the repository, and asks nobody but itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.helpers import fits, settled


@pytest.mark.parametrize("dark", [False, True])
def test_the_first_page_opens_without_an_error(open_page, app_url, dark):
    page = open_page(dark=dark)
    page.goto(app_url)
    settled(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page).to_have_title("qexplore")


def test_the_first_page_does_not_scroll_sideways_on_a_phone(open_page, app_url):
    page = open_page(width=390, height=844)
    page.goto(app_url)
    settled(page)
    assert fits(page)


def test_a_phone_shows_the_accuracy_in_a_picture_that_can_be_read(open_page, app_url):
    page = open_page(width=390, height=844)
    page.goto(app_url)
    accuracy = page.locator("svg.marks", has=page.get_by_text("average weight bits", exact=True))
    plot = accuracy.locator("g.root > g > path.background")
    expect(plot).to_be_attached(timeout=30_000)
    assert plot.bounding_box()["height"] >= 100


def test_no_request_leaves_this_machine(page, app_url):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app_url)
    settled(page)
    abroad = [url for url in asked if not url.startswith((app_url, app_url.replace("http", "ws"), "data:", "blob:"))]
    assert asked
    assert abroad == []
