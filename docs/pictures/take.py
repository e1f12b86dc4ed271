"""Takes the README's pictures of an app that runs: `python docs/pictures/take.py http://127.0.0.1:8501`."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PAGES = {
    "budgets": "budgets?task=mobilenet-digits&site=blocks.0.expand.conv.weight",
    "training": "training?task=mobilenet-digits&run=qbitopt-3",
}
SIZE = {"width": 1280, "height": 860}


def main(app: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        for name, path in PAGES.items():
            page.goto(f"{app.rstrip('/')}/{path}")
            page.locator("svg.marks").first.wait_for(timeout=60_000)
            page.wait_for_timeout(5_000)  # until every figure is drawn
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            shot.quantize(128, dither=Image.Dither.NONE).save(Path(__file__).with_name(f"{name}.png"), optimize=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
