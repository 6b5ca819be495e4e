"""A real headless Chromium for tests: opens pages, keeps what they complain about.

The system's chromium is driven by playwright, which downloads nothing. Without it the tests fail and say what to
install; SOCIETY_NO_BROWSER=1 skips them, on a machine that cannot have one.
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
"""Milliseconds until something is held never to come, on however busy a machine."""
READY = "html[data-ready=yes]"
"""A page that has drawn itself. (Waiting for an expression would need `eval`, which the page's policy refuses.)"""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A fresh Chromium with an empty profile."""
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
    """The page at `url`, drawn. Afterwards: no error in its console, nothing that its policy had to refuse, and
    no request but for itself and what the same server serves."""
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
