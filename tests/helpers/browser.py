"""A real browser that visits the app."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

from tests.helpers import CHROMIUM

MEGABYTE = 2**20
SIZES = {"desktop": {"width": 1280, "height": 960}, "phone": {"width": 390, "height": 844}}
RED = "rgb(179, 38, 30)"  # of buttons that delete for good
PATIENCE = 120_000  # milliseconds; a busy machine draws slowly
expect.set_options(timeout=PATIENCE)


def launch(playwright: Playwright, *options: str) -> Browser:
    """A Chromium that asks nobody and reaches for nothing."""
    common = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*common, *options])


@contextmanager
def open_page(address: str, browser: Browser, size: str = "desktop", **options: Any) -> Iterator[Page]:
    """The page in a visit of its own. In the end: no script failed, nothing left the machine."""
    with browser.new_context(viewport=SIZES[size], has_touch=size == "phone", **options) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        hosts, problems = set(), []
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.on("pageerror", lambda error: problems.append(error))
        page.goto(address)
        page.locator("h1").wait_for()
        try:
            yield page
        except BaseException:
            print(page.locator("body").inner_text())  # what the visitor saw
            raise
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
        assert hosts <= {"localhost", None}, "something left the machine"
        assert not problems


def screenshot(page: Page, name: str) -> None:
    """The whole page, where somebody wants to look at it."""
    if folder := os.environ.get("IMG2PROMPT_SCREENSHOTS"):
        size = page.viewport_size
        height = page.evaluate("document.querySelector('.stMain').scrollHeight")
        page.set_viewport_size(size | {"height": max(height, size["height"])})
        page.wait_for_timeout(1000)
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size(size)


def assert_accessible(page: Page, name: str) -> None:
    """axe-core finds nothing serious; takes a picture too."""
    settle(page)
    for _ in range(5):
        page.wait_for_timeout(1500)  # colors fade in, and on a busy machine not at once
        found = Axe().run(page).response["violations"]
        serious = {
            violation["id"]: [(node["html"], node["failureSummary"]) for node in violation["nodes"]]
            for violation in found
            if violation["impact"] in ("serious", "critical")
        }
        if not serious:
            break
    assert not serious, (name, serious)
    screenshot(page, name)


@contextmanager
def sidebar(page: Page) -> Iterator[Locator]:
    """The sidebar, opened first and closed again where it covers the page."""
    phone = page.viewport_size["width"] < 768
    if phone:
        page.get_by_test_id("stExpandSidebarButton").click()
        # Nobody aims at what still slides in and grows: a press there begins on one choice and ends on another.
        page.wait_for_function(
            """() => {
                const sidebar = document.querySelector("[data-testid=stSidebar]");
                const moves = sidebar.getAnimations({ subtree: true }).length > 0;
                return sidebar.getBoundingClientRect().x === 0 && !moves;
            }"""
        )
    yield page.get_by_test_id("stSidebar")
    if phone:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()


def choose(page: Page, label: str, option: str, exact: bool = False) -> None:
    """Take an option of a drop-down list, which a page that is drawn anew or has just scrolled closes."""
    settle(page)
    box = page.get_by_role("combobox", name=label)
    box.scroll_into_view_if_needed()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")  # it has scrolled
    box.click()
    page.get_by_role("option", name=option, exact=exact).click()


def clipboard(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()").replace("\r\n", "\n")


def settle(page: Page) -> None:
    """Wait until the server has nothing more to say, and what was done last has reached it."""
    page.locator("h1").wait_for()
    idle = page.locator(".stApp[data-test-script-state=notRunning]")
    idle.wait_for()
    page.wait_for_timeout(250)
    idle.wait_for()
