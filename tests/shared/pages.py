"""Pages of HTML, opened in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from shared.tools import CHROMIUM, find_tool


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open the installed browser; without one the test fails, since each page must be looked at."""
    place = find_tool(*CHROMIUM)
    if place is None:
        pytest.fail(f"None of {', '.join(CHROMIUM)} is in the PATH, and the page is tested in one. Install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Page) -> list[tuple[str, str]]:
    """Rules of accessibility that a page breaks, found by axe: each rule, and the first element that breaks it."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found["violations"]]
