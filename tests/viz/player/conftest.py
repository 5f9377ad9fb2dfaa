"""One headless Chromium for all tests of the pages."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the pages are tested where playwright is installed"
    )
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("the pages are tested where Chromium is installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if os.getuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tab(browser: Any) -> Iterator[Any]:
    """One tab for all tests: a page of its own for each would cost a process each."""
    page = browser.new_context(has_touch=True).new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(f"error: {error}"))
    page.on("console", lambda message: page.problems.append(f"console: {message.text}"))
    page.on("request", lambda request: page.problems.append(request.url))
    yield page
    page.context.close()


@pytest.fixture
def visit(tab: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a page from disk; at the end, nothing may have gone wrong, and no request left it."""
    tab.problems.clear()

    def opened(html: str, address: str = "", width: int = 1280, **media: str) -> Any:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(**{"color_scheme": "light", "reduced_motion": "no-preference", **media})
        tab.goto("about:blank")  # another address of the same page would not load it
        tab.goto(path.as_uri() + address)
        tab.wait_for_selector("body[data-ready]")
        return tab

    yield opened
    asked = (tmp_path.as_uri(), "about:blank", "blob:", "data:")
    assert [problem for problem in tab.problems if not problem.startswith(asked)] == []
