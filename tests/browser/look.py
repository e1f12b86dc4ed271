"""What journeys through the app ask of a page again and again."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

PAGES = ("", "network", "quantizer", "ranges", "post_training", "sensitivity", "budgets", "training", "runs")
HEADINGS = ("qexplore", "Network", "Quantizer", "Ranges", "Post-training", "Sensitivity", "Budgets", "Training", "Runs")


def go(page: Page, url: str, path: str = "") -> None:
    """Opens a page of the app and waits for its heading."""
    page.goto(f"{url}/{path}")
    heading = HEADINGS[PAGES.index(re.split(r"[?#]", path)[0])]
    expect(page.get_by_role("heading", name=heading).first).to_be_visible(timeout=30_000)


def forgive_probes(errors: list[str]) -> None:
    """Drops what Streamlit itself causes: below a page's address it first asks there for its server, and gets a 404."""
    errors[:] = [error for error in errors if "/_stcore/" not in error]


def card(page: Page, label: str) -> Locator:
    """The number of a card in the strip."""
    return page.locator(".qx-card", has=page.get_by_text(re.compile(label))).locator("dd")


def chart(page: Page, key: str) -> Locator:
    """The drawing of a live figure, by its key."""
    return page.locator(f".st-key-{key} svg.marks")


def slider(page: Page, label: str) -> Locator:
    return page.get_by_role("slider", name=label)
