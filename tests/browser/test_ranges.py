"""A range is moved by hand, and the network answers."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import qexplore as qx
from qexplore.runs import profiles
from tests.browser.helpers import fits, settled
from tests.browser.look import card, chart, forgive_probes, go

TASK, SITE = "resnet-digits", "blocks.0.second.conv.out"


@pytest.fixture(autouse=True)
def _streamlit_asks_below_its_pages(errors: list[str], open_page: object) -> object:
    yield
    forgive_probes(errors)


def stored() -> float:
    """Accuracy with the range of the profile's recipe."""
    rows = profiles.load(TASK).ranges
    return float(rows[(rows["site"] == SITE) & (rows["bits"] == 2) & (rows["method"] == "mse")]["accuracy"].iloc[0])


def test_a_range_moved_by_hand_is_measured_on_the_whole_network(page: Page, app_url: str) -> None:
    go(page, app_url, f"ranges?task={TASK}&site={SITE}&b=2")
    expect(card(page, "stored range, mse")).to_have_text(f"{100 * stored():.1f} %", timeout=30_000)
    page.get_by_role("radio", name="by hand").or_(page.get_by_role("button", name="by hand")).first.click()
    end = page.locator(".handle[data-end=high] circle")
    expect(end).to_be_visible(timeout=30_000)
    expect(page.locator("[data-set=kind]")).to_be_hidden()  # the site's own grid
    box = end.bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 8, steps=6)
    page.mouse.up()
    expect(page).to_have_url(re.compile("hand=6(:|%3A)"))
    expect(card(page, "your range, by hand")).to_contain_text("%", timeout=60_000)
    expect(page.get_by_text(re.compile(r"500 images, in ")).first).to_be_visible()

    lo, hi = map(float, re.search(r"hand=6(?::|%3A)([-\d.e]+)(?:,|%2C)([-\d.e]+)", page.url).groups())
    settings = {f"sites.{SITE}.bits": 2, f"sites.{SITE}.range": [lo, hi]}
    expected = qx.run(TASK, qx.Recipe.load("w8a8").with_settings(settings)).accuracy.value
    expect(card(page, "your range, by hand")).to_have_text(f"{100 * expected:.1f} %")
    expect(page.get_by_text("Who wins where")).to_be_visible()  # what watches the bench once cleared its neighbour


def test_a_link_to_a_range_reproduces_its_accuracy(page: Page, app_url: str, open_page: Callable[..., Page]) -> None:
    path = f"ranges?task={TASK}&site={SITE}&b=3&rest=4&by=percentile"
    go(page, app_url, path)
    expect(card(page, "your range, percentile")).to_contain_text("%", timeout=60_000)
    other = open_page(width=390, height=844)
    go(other, app_url, page.url.removeprefix(app_url + "/"))
    measured = card(page, "your range, percentile").inner_text()
    expect(card(other, "your range, percentile")).to_have_text(measured, timeout=60_000)


def test_a_clicked_mark_picks_its_site(page: Page, app_url: str) -> None:
    go(page, app_url, f"ranges?task={TASK}")
    marks = chart(page, "contest").locator(".mark-symbol path")
    expect(marks.first).to_be_visible(timeout=30_000)
    marks.first.scroll_into_view_if_needed()
    marks.first.click(force=True)
    expect(page).to_have_url(re.compile(r"site=input"))
    expect(page.get_by_role("combobox", name=re.compile("^site"))).to_have_value("input")


def test_the_picture_names_every_range_and_the_headline_the_extremes(page: Page, app_url: str) -> None:
    go(page, app_url, "ranges")
    brackets = page.locator("svg.marks").filter(has_text="batch-norm").first
    expect(brackets).to_contain_text("mse (stored)", timeout=30_000)
    expect(
        page.get_by_text(re.compile(r"right on [\d.]+ % of the images with mse, on [\d.]+ % with batch-norm\."))
    ).to_be_visible()


def test_on_a_phone_the_page_is_short_and_each_view_beyond_the_site_is_drawn_in_full_width(
    open_page: Callable[..., Page], app_url: str
) -> None:
    page = open_page(width=390, height=844)
    go(page, app_url, f"ranges?task={TASK}")
    expect(chart(page, "contest")).to_be_visible(timeout=30_000)
    settled(page)
    assert page.locator("[data-testid=stMain]").evaluate("main => main.scrollHeight") < 4200
    for tab, heading in (("one for all", "One estimator for all of them"), ("equalization", "Channels before and")):
        page.get_by_role("tab", name=tab).click()
        view = page.get_by_role("tabpanel").filter(has_text=heading)
        expect(view.locator("svg.marks")).to_have_count(2, timeout=30_000)
        assert all(svg.bounding_box()["width"] > 300 for svg in view.locator("svg.marks").all())
    assert fits(page)
