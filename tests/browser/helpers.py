"""What browser tests ask of a page."""

from __future__ import annotations

from playwright.sync_api import Page, expect


def settled(page: Page, timeout: float = 30_000) -> None:
    """Waits, at most `timeout` ms, until the app's script has finished.

    A page that refreshes itself rarely rests: wait for its text instead.
    """
    app = page.locator("[data-testid=stApp]")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=timeout)


def fits(page: Page) -> bool:
    """Whether nothing makes the page scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
