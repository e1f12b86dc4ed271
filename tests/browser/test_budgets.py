"""The page that must win a visitor in ten seconds, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.look import card, chart, forgive_probes, go, slider

MOVES = 24
BARS = "allocation"
OBSERVE = """(svg) => {
  const input = document.querySelector('[data-testid=stSlider] input');
  input.focus();
  window.answered = null;
  input.addEventListener('keydown', () => {
    const began = performance.now(), before = svg.innerHTML;
    const look = () => {
      if (svg.innerHTML === before) requestAnimationFrame(look);
      else window.answered = performance.now() - began;
    };
    requestAnimationFrame(look);
  }, {once: true});
}"""


@pytest.fixture(autouse=True)
def _streamlit_asks_below_its_pages(errors: list[str], open_page: object) -> object:
    yield
    forgive_probes(errors)


@pytest.mark.slow  # a time: taken on purpose, on a quiet machine
def test_the_first_visit_shows_an_answer_within_three_seconds(page: Page, app_url: str) -> None:
    go(page, app_url, "budgets?w=4.4&a=4.4")  # the server is up; the visitor comes with an empty cache
    expect(card(page, "measured accuracy")).to_contain_text("%", timeout=60_000)
    page.goto("about:blank")
    times = sorted(_first_visit(page, app_url) for _ in range(3))
    print(f"first visit: {', '.join(f'{seconds:.2f}' for seconds in times)} s")
    assert times[1] < 3.0


def _first_visit(page: Page, app_url: str) -> float:
    """Seconds until a fresh browser context shows numbers and bars."""
    context = page.context.browser.new_context(viewport={"width": 1400, "height": 900})
    visitor = context.new_page()
    began = time.perf_counter()
    visitor.goto(f"{app_url}/budgets")
    expect(card(visitor, "predicted accuracy")).to_contain_text("%", timeout=30_000)
    expect(chart(visitor, BARS)).to_be_visible(timeout=30_000)
    took = time.perf_counter() - began
    context.close()
    return took


def test_the_example_is_measured_on_this_machine(page: Page, app_url: str) -> None:
    go(page, app_url, "budgets")
    expect(card(page, "measured accuracy")).to_contain_text("%", timeout=30_000)
    expect(page.get_by_text(re.compile(r"500 images, (stored|in )")).first).to_be_visible()
    expect(card(page, "uniform")).to_contain_text("%")


@pytest.mark.slow  # a time: taken on purpose, on a quiet machine
def test_a_moved_slider_shows_its_allocation_within_300_ms(page: Page, app_url: str) -> None:
    go(page, app_url, "budgets")
    expect(card(page, "measured accuracy")).to_contain_text("%", timeout=30_000)
    svg = chart(page, BARS)
    times = []
    for move in range(MOVES):
        page.wait_for_timeout(1200)
        svg.evaluate(OBSERVE)
        page.keyboard.press("ArrowRight" if move < MOVES // 2 else "ArrowLeft")
        page.wait_for_function("window.answered !== null", timeout=10_000)
        times.append(page.evaluate("window.answered"))
    times.sort()
    print(f"slider to allocation: median {times[MOVES // 2]:.0f} ms, 95 % {times[int(0.95 * MOVES)]:.0f} ms")
    assert times[int(0.95 * MOVES)] < 300


def test_bars_are_patched_not_drawn_anew(page: Page, app_url: str) -> None:
    go(page, app_url, "budgets?w=4&a=4")
    expect(card(page, "measured accuracy")).to_contain_text("%", timeout=30_000)
    page.wait_for_timeout(500)
    svg = chart(page, BARS).element_handle()
    slider(page, "average weight bits").press("ArrowRight")
    expect(page).to_have_url(re.compile("w=4.1"))
    page.wait_for_timeout(1500)
    assert svg.evaluate("svg => svg.isConnected")


def test_a_link_reproduces_the_view(page: Page, app_url: str, open_page: Callable[..., Page]) -> None:
    go(page, app_url, "budgets")
    start = card(page, "this allocation costs").inner_text()
    slider(page, "average weight bits").press("ArrowRight")
    expect(page).to_have_url(re.compile(r"w=3\.1"))
    expect(card(page, "this allocation costs")).not_to_have_text(start)
    expect(card(page, "measured accuracy")).to_contain_text("%", timeout=30_000)
    page.wait_for_timeout(1000)  # the exact optimum may follow the hull's answer
    costs, measured = card(page, "this allocation costs").inner_text(), card(page, "measured accuracy").inner_text()
    other = open_page()
    go(other, app_url, page.url.removeprefix(app_url + "/"))
    expect(card(other, "this allocation costs")).to_have_text(costs)
    expect(card(other, "measured accuracy")).to_have_text(measured, timeout=30_000)


def resting(page: Page, mark: Locator) -> dict[str, float]:
    """Where a mark of a figure is, once answers that arrive beside it have stopped moving it."""
    box, before = mark.bounding_box(), None
    while box is None or box != before:
        page.wait_for_timeout(400)
        box, before = mark.bounding_box(), box
    return box


@pytest.mark.parametrize(("task", "told"), [("mobilenet-digits", True), ("mobilenetv2-cifar10", False)])
def test_bars_on_a_phone_have_numbers_only_where_these_stand_apart(
    open_page: Callable[..., Page], app_url: str, task: str, told: bool
) -> None:
    phone = open_page(width=390, height=844)
    go(phone, app_url, f"budgets?task={task}")
    bars = chart(phone, BARS)
    expect(bars.locator(".mark-rect path").first).to_be_visible(timeout=30_000)
    numbers = [text for text in bars.locator(".mark-text.role-mark text").all_text_contents() if text]
    assert bool(numbers) == told


def test_a_clicked_bar_picks_its_site_and_a_lock_holds(page: Page, app_url: str) -> None:
    go(page, app_url, "budgets")
    expect(card(page, "measured accuracy")).to_contain_text("%", timeout=30_000)
    box = resting(page, chart(page, BARS).locator(".mark-rect path").nth(12))
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page).to_have_url(re.compile("site="))
    site = re.search(r"site=([^&]+)", page.url)[1]
    page.get_by_role("radio", name="8", exact=True).or_(page.get_by_role("button", name="8", exact=True)).first.click()
    expect(page).to_have_url(re.compile("lock="))
    expect(page.get_by_text("Why 8 bits?")).to_be_visible()
    expect(page.get_by_role("combobox", name=re.compile("picked site"))).to_have_value(site)


def test_an_unknown_task_in_the_link_gets_a_sentence_and_the_nearest(page: Page, app_url: str) -> None:
    go(page, app_url, "budgets?task=resnet-digit")
    expect(page.get_by_text("did you mean 'resnet-digits'")).to_be_visible()
    expect(page.get_by_text("ResNet on digits")).to_be_visible()
