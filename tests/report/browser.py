"""A real headless Chromium for tests: opens pages and collects their errors.

Playwright drives the system's Chromium and downloads nothing. Without Chromium the tests fail and name the package to
install; SOCIETY_NO_BROWSER=1 skips them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 120_000
"""Timeout in milliseconds, long enough for a busy machine."""
READY = "html[data-ready=yes]"
"""Selector of a drawn page. Waiting for an expression would need `eval`, which the page's policy blocks."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open Chromium with an empty profile."""
    if os.environ.get("SOCIETY_NO_BROWSER") == "1":
        pytest.skip("SOCIETY_NO_BROWSER=1")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("These tests need Chromium: apt-get install chromium (or skip them: SOCIETY_NO_BROWSER=1).")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(browser: Browser, url: str, width: int = 1280, dark: bool = False) -> Iterator[Page]:
    """Open the drawn page at `url`. Afterwards, check that there were no console errors, blocked loads or requests to
    other servers."""
    context = browser.new_context(
        viewport={"width": width, "height": 860}, color_scheme="dark" if dark else "light", service_workers="block"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    home = url.split("#")[0].rsplit("/", 1)[0]
    page.on("request", lambda r: None if r.url.startswith((home, "data:")) else troubles.append(f"asked for {r.url}"))
    page.goto(url)
    page.wait_for_selector(READY)
    yield page
    assert troubles == []
    context.close()
