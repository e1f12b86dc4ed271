"""The numbers that the browser computes are those of the engine."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from playwright.sync_api import Page, expect

from qexplore.numerics import Range, Spec
from qexplore.numerics.error import quantization_error
from qexplore.runs import profiles
from tests.browser.look import forgive_probes, go

SITES = ("stem.conv.weight", "blocks.0.expand.conv.out")
KINDS = {
    "asymmetric": {"symmetric": False},
    "symmetric": {"symmetric": True, "signed": True},
    "symmetric+p2": {"symmetric": True, "signed": True, "power_of_two": True},
    "unsigned": {"symmetric": True, "signed": False},
}


@pytest.fixture(autouse=True)
def _streamlit_asks_below_its_pages(errors: list[str], open_page: object) -> object:
    yield
    forgive_probes(errors)


def shown(page: Page, name: str) -> str:
    return page.locator(f"[data-show={name}]").evaluate("element => element.value")


def number(text: str) -> float:
    """A number as the view writes it: '0.008137', '1.24 × 10⁻⁵'."""
    mantissa, _, power = text.partition(" × 10")
    return float(mantissa) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_that_of_the_engine(page: Page, app_url: str, site: str, kind: str) -> None:
    low, high, bits = -0.7, 1.3, 3
    go(page, app_url, f"quantizer?site={site}&grid={kind.replace('+', '%2B')},{bits},{low},{high}")
    expect(page.locator("[data-show=sqnr]")).to_have_text(re.compile("dB|no error"))
    x = torch.from_numpy(profiles.load("mobilenet-digits").tensor(site).copy())
    interval = Range(torch.tensor([low]), torch.tensor([high]))
    expected = quantization_error(x, Spec(bits=bits, **KINDS[kind]), interval)
    assert number(shown(page, "rounding")) == pytest.approx(expected.rounding, rel=2e-3)
    assert number(shown(page, "clipping")) == pytest.approx(expected.clipping, rel=2e-3, abs=1e-12)
    assert float(shown(page, "sqnr").removesuffix(" dB")) == pytest.approx(expected.sqnr_db, abs=0.01)
    error = expected.rounding + expected.clipping
    assert number(shown(page, "root")) == pytest.approx(error**0.5, rel=6e-3)
    assert shown(page, "roundingShare") == f"{round(100 * expected.rounding / error)} % of it"


def test_more_bits_answer_in_the_browser_and_the_address_follows(page: Page, app_url: str) -> None:
    go(page, app_url, "quantizer")
    bits = page.locator("[data-set=bits]")
    expect(bits).to_be_visible()
    before = float(shown(page, "sqnr").removesuffix(" dB"))
    bits.press("ArrowRight")
    assert float(shown(page, "sqnr").removesuffix(" dB")) > before + 3
    expect(page).to_have_url(re.compile(r"grid=\d+(:|%3A)symmetric(,|%2C)5"))
    assert float(page.locator(".quantizer").get_attribute("data-milliseconds")) < 60


def test_a_dragged_end_moves_the_range(page: Page, app_url: str) -> None:
    go(page, app_url, "quantizer?grid=asymmetric,4,-2.5,2.2")
    end = page.locator(".handle[data-end=high] circle")
    expect(end).to_be_visible()
    box, before = end.bounding_box(), float(shown(page, "high"))
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] - 120, box["y"] + 8, steps=6)
    page.mouse.up()
    assert float(shown(page, "high")) < before - 0.2
    assert float(shown(page, "clipped").removesuffix(" %")) > 0


def test_the_smallest_error_is_smallest(page: Page, app_url: str) -> None:
    go(page, app_url, "quantizer")
    expect(page.locator("[data-do=best]")).to_be_visible()
    page.locator("[data-do=best]").click()
    best = number(shown(page, "mse"))
    for other in ("full", "stored"):
        page.locator(f"[data-do={other}]").click()
        assert number(shown(page, "mse")) >= best


def test_one_grid_a_grid_a_channel_and_the_recipes_own_stand_side_by_side(page: Page, app_url: str) -> None:
    site, profile = "stem.conv.weight", profiles.load("mobilenet-digits")
    x = torch.from_numpy(profile.tensor(site).copy())
    low, high = 0.8 * float(x.min()), 0.9 * float(x.max())
    go(page, app_url, f"quantizer?site={site}&grid=symmetric,4,{low},{high}")
    expect(page.locator("[data-show=channels]")).to_have_text(re.compile("dB"))
    rows = x.reshape(16, -1)
    each = Range(0.8 * rows.amin(1).clamp(max=0), 0.9 * rows.amax(1).clamp(min=0))
    expected = quantization_error(rows, Spec(bits=4, symmetric=True, signed=True, granularity="channel"), each)
    assert float(shown(page, "channels").removesuffix(" dB")) == pytest.approx(expected.sqnr_db, abs=0.02)
    ranges = profile.ranges.set_index(["site", "method", "bits"])["sqnr_db"]
    assert shown(page, "own") == f"{ranges.loc[site, 'mse', 4]:.2f} dB"
    expect(page.locator("[data-name=own]")).to_have_text("SQNR, the recipe's")
    expect(page.get_by_text("as w8a8 would at these bits, one grid a channel, each range by mse")).to_be_visible()
    page.locator("[data-set=bits]").press("ArrowRight")
    assert shown(page, "own") == f"{ranges.loc[site, 'mse', 5]:.2f} dB"


def test_on_a_phone_the_picture_stands_before_the_numbers(open_page: Callable[..., Page], app_url: str) -> None:
    page = open_page(width=390, height=844)
    go(page, app_url, "quantizer")
    picture, numbers = page.locator("svg.values"), page.locator("dl.numbers")
    expect(picture).to_be_visible()
    foot = picture.bounding_box()["y"] + picture.bounding_box()["height"]
    assert foot < 844
    assert numbers.bounding_box()["y"] > foot
