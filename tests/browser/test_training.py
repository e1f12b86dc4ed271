"""A training is started, watched, paused, resumed and seen to its end, and its history is played."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.look import card, chart, forgive_probes, go

TASK = "resnet-digits"
WAIT = 60_000  # ms


@pytest.fixture(autouse=True)
def _streamlit_asks_below_its_pages(errors: list[str], open_page: object) -> object:
    yield
    forgive_probes(errors)


def points(page: Page) -> int:
    """Epochs on the curve of the accuracy."""
    return chart(page, "training-accuracy").locator(".mark-symbol path").count()


def start(page: Page, epochs: int) -> None:
    """Sets the epochs and starts."""
    page.get_by_role("button", name="settings").first.click()
    field = page.get_by_role("spinbutton", name="epochs")
    field.fill(str(epochs))
    field.press("Enter")
    expect(page.get_by_text(f"qat.epochs={epochs}").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Start training").click()


def zoom(page: Page) -> str:
    """Zooms into the curve of the accuracy, and tells the ticks that are there then."""
    curve = chart(page, "training-accuracy")
    ticks, box = curve.locator(".role-axis-label").first, curve.bounding_box()
    whole = ticks.text_content()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90)
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Shift")
    expect(ticks).not_to_have_text(whole)
    return ticks.text_content()


def test_a_training_is_watched_paused_resumed_and_seen_to_its_end(page: Page, app_url: str) -> None:
    go(page, app_url, f"training?task={TASK}&train=qat-w3a3")
    start(page, 20)
    expect(page.get_by_text(re.compile("trains, .+ of 20 epochs"))).to_be_visible(timeout=WAIT)
    curve = chart(page, "training-accuracy").element_handle()
    near, before = zoom(page), points(page)
    grown = "before => document.querySelectorAll('.st-key-training-accuracy .mark-symbol path').length > before"
    page.wait_for_function(grown, arg=before)
    assert chart(page, "training-accuracy").locator(".role-axis-label").first.text_content() == near
    assert curve.evaluate("svg => svg.isConnected")  # patched, not drawn anew

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Resume goes on from here")).to_be_visible(timeout=10_000)
    reached = int(re.search(r"(\d+) of 20 epochs", page.get_by_text("is paused").first.inner_text())[1])
    assert 1 <= reached < 20

    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text(re.compile("trains, .+ of 20 epochs"))).to_be_visible(timeout=WAIT)
    expect(card(page, "after training")).to_contain_text("%", timeout=2 * WAIT)
    expect(page.get_by_text(re.compile("recovers")).first).to_be_visible()
    assert points(page) >= 20


def test_the_history_of_the_bits_is_played(page: Page, app_url: str) -> None:
    go(page, app_url, f"training?task={TASK}&run=qbitopt-3")
    expect(page.get_by_text(re.compile(r"Budget met at (\d+) of \1 re-allocations")).first).to_be_visible()
    bars = chart(page, "training-allocation")
    expect(bars).to_be_visible(timeout=WAIT)
    handle = bars.element_handle()
    page.get_by_role("button", name="Play").click()
    expect(page).to_have_url(re.compile("at="))
    expect(page.get_by_text("Allocation 4 of")).to_be_visible(timeout=WAIT)
    assert handle.evaluate("svg => svg.isConnected")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_each_training_opens_on_its_own_view_until_one_is_picked(page: Page, app_url: str) -> None:
    def show(name: str, view: str) -> None:
        page.locator(".st-key-training-shown input").click()
        page.get_by_role("option", name=f"{name} · recorded").click()
        expect(page).to_have_url(re.compile(f"run={name}"))
        expect(page.locator(".st-key-view [aria-checked=true]")).to_have_text(view, timeout=WAIT)

    go(page, app_url, f"training?task={TASK}&run=qat-w3a3")
    expect(page.get_by_text("The range over the epochs")).to_be_visible(timeout=WAIT)
    show("qbitopt-3", "bits over time")
    show("qat-w3a3", "learned ranges")
    page.locator(".st-key-view").get_by_text("oscillation").click()
    expect(page).to_have_url(re.compile("view=oscillation"))
    show("qbitopt-3", "oscillation")


def test_a_wrong_setting_is_told_where_it_is_typed_and_at_the_form(page: Page, app_url: str) -> None:
    go(page, app_url, f"training?task={TASK}&train=qat-w3a3&set=qat.distil=0.5")
    start_button = page.get_by_role("button", name="Start training")
    expect(page.get_by_text("did you mean 'distill'?").first).to_be_visible(timeout=WAIT)
    expect(start_button).to_be_disabled()
    page.get_by_role("button", name="settings").first.click()
    field = page.get_by_role("textbox", name="more settings")
    field.fill("qat.distill=0.5")
    field.press("Enter")
    expect(page).to_have_url(re.compile("set=qat.distill"))
    expect(start_button).to_be_enabled(timeout=WAIT)


def test_a_clicked_piece_picks_its_site(page: Page, app_url: str) -> None:
    go(page, app_url, f"training?task={TASK}&run=qbitopt-3")
    pieces = chart(page, "training-bits").locator(".mark-rect path")
    expect(pieces.first).to_be_visible(timeout=WAIT)
    pieces.first.click(position={"x": 8, "y": 5})
    page.get_by_text("learned ranges").first.click()
    expect(page.get_by_text("The range over the epochs")).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("combobox", name=re.compile("^site"))).to_have_value("stem.conv.weight")


def test_a_budget_is_taken_from_budgets_to_training(page: Page, app_url: str) -> None:
    go(page, app_url, f"budgets?task={TASK}&w=3.2&a=5")
    page.get_by_role("link", name="Train with this budget").click()
    expect(page.get_by_role("heading", name="Training").first).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("train=qbitopt-3"))
    expect(page.get_by_role("slider", name="average weight bits")).to_have_value("3.2")
    expect(page.get_by_role("slider", name="average activation bits")).to_have_value("5")


def test_a_link_to_a_comparison_reproduces_it(page: Page, app_url: str, open_page: Callable[..., Page]) -> None:
    path = f"training?task={TASK}&view=compare&runs=qat-w3a3,qbitopt-3"
    go(page, app_url, path)
    expect(page.locator("svg.marks").nth(3)).to_contain_text("B qbitopt-3", timeout=WAIT)
    phone = open_page(width=390, height=844)
    go(phone, app_url, path)
    expect(phone.locator("svg.marks").nth(3)).to_contain_text("A qat-w3a3", timeout=WAIT)
