"""The history in a real browser, on a desk and on a phone."""

import pytest
from playwright.sync_api import expect

from img2prompt.history import History, open_database
from tests.helpers.browser import (
    RED,
    SIZES,
    assert_accessible,
    clipboard,
    open_page,
    settle,
    sidebar,
)
from tests.helpers.pictures import small_photos


@pytest.fixture(params=SIZES)
def size(request) -> str:
    return request.param


@pytest.fixture
def server(home) -> str:
    """The address of an app whose history is empty."""
    engine = open_database(home.database)
    History(engine, "local").delete_all()
    engine.dispose()
    return home.address


def caption(page, server: str, sample: str) -> str:
    """Caption a sample photo on a new visit; returns its caption."""
    page.goto(server)
    page.get_by_role("button", name=sample).wait_for()
    settle(page)
    page.get_by_role("button", name=sample).click()
    page.get_by_role("button", name="Start Captioning").click()
    page.get_by_label("Text of post 5").wait_for()
    settle(page)
    return page.locator("p.large").inner_text()


def posts_counted(page) -> str:
    """What the dashboard says, in any language: its first number."""
    page.get_by_test_id("stMetricValue").first.wait_for()
    settle(page)
    return page.get_by_test_id("stMetricValue").first.inner_text()


def test_found_reopened_and_deleted(server, browser, size):
    with open_page(f"{server}/history", browser, size, color_scheme="light", locale="en-US") as page:
        page.get_by_text("Nothing here yet.").wait_for()
        assert_accessible(page, f"{size}-history-empty")

    with open_page(server, browser, size, color_scheme="light", locale="en-US") as page:
        temple = caption(page, server, "Temple")
        page.get_by_role("button", name="Copy post 2").click()
        page.get_by_role("button", name="Copied post 2").wait_for()
        copied = clipboard(page)
        page.get_by_role("button", name="Star post 3").click()
        page.get_by_label("Text of post 1").fill("Written by hand on a quiet pontoon")
        page.get_by_label("Text of post 1").blur()
        page.wait_for_timeout(1000)
        settle(page)
        page.goto(f"{server}/dashboard")
        assert posts_counted(page) == "1"
        flower = caption(page, server, "Flower")
        page.goto(f"{server}/dashboard")
        assert posts_counted(page) == "2"
        assert_accessible(page, f"{size}-dashboard")

    # What was done yesterday is there today.
    with open_page(f"{server}/history", browser, size, color_scheme="light", locale="en-US") as page:
        page.get_by_text("1–2 of 2").wait_for()
        page.get_by_role("button", name=flower, exact=True).wait_for()
        assert_accessible(page, f"{size}-history")
        page.get_by_role("textbox", name="Search").fill("pontoon")
        page.get_by_role("textbox", name="Search").press("Enter")
        page.get_by_text("1–1 of 1").wait_for()
        expect(page.get_by_role("button", name=flower, exact=True)).to_have_count(0)

        page.get_by_role("button", name=temple, exact=True).click()
        page.get_by_role("button", name="Work on it again").wait_for()
        expect(page.get_by_role("heading", name="More like this")).to_have_count(0)  # a flower is no temple
        starred, copy, edited = (
            page.locator(".stMarkdownBadge", has_text=m) for m in ("Starred", "Copied", "Edited")
        )
        for mark in (starred, copy, edited):
            expect(mark).to_have_count(1)
        page.get_by_text(copied.splitlines()[0]).first.wait_for()
        assert_accessible(page, f"{size}-history-post")

        page.get_by_role("button", name="Work on it again").click()
        page.get_by_text("From your history.").wait_for()
        expect(page.get_by_role("button", name="Start Captioning")).to_have_count(0)
        expect(page.get_by_role("button", name="Star post 3")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_label("Text of post 1")).to_have_value("Written by hand on a quiet pontoon")
        assert_accessible(page, f"{size}-history-reopened")

    with open_page(f"{server}/history", browser, size, color_scheme="dark", locale="ko-KR") as page:
        page.get_by_text("2개 중 1–2번째").wait_for()  # working on it again made no second one
        assert_accessible(page, f"{size}-history-korean")
        page.get_by_role("button", name=flower, exact=True).click()
        page.get_by_role("button", name="게시글 1 별표").click()
        page.get_by_role("button", name="게시글 1 별표 해제").wait_for()
        settle(page)  # until then, what the page showed before is still there
        page.get_by_role("button", name="삭제").click()
        expect(page.get_by_role("button", name="이 기록 삭제하기")).to_have_css("background-color", RED)
        assert_accessible(page, f"{size}-history-delete")
        page.get_by_role("button", name="이 기록 삭제하기").click()
        page.get_by_text("1개 중 1–1번째").wait_for()
        expect(page.get_by_role("button", name=flower, exact=True)).to_have_count(0)
        page.goto(f"{server}/dashboard")
        assert posts_counted(page) == "1"


def test_a_carousel_is_one_post_and_comes_back(server, browser, size):
    with open_page(server, browser, size, color_scheme="light", locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(small_photos())
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_label("Text of post 5").wait_for()
        settle(page)
        page.get_by_role("button", name="Copy post 2").click()
        page.get_by_role("button", name="Copied post 2").wait_for()
        page.get_by_role("button", name="Star post 3").click()
        page.locator("[aria-pressed=true][aria-label^='Star post']").wait_for()
        settle(page)
        page.goto(f"{server}/dashboard")
        page.get_by_test_id("stMetricValue").first.wait_for()
        settle(page)
        assert page.get_by_test_id("stMetricValue").all_inner_texts() == ["1", "1", "1", "0"]
        assert_accessible(page, f"{size}-carousel-dashboard")

    with open_page(f"{server}/history", browser, size, color_scheme="dark", locale="en-US") as page:
        page.get_by_text("1–1 of 1").wait_for()
        page.get_by_text("3 photos").wait_for()
        page.locator("[class*='st-key-open-'] button").click()
        page.get_by_role("button", name="Work on it again").wait_for()
        expect(page.locator(".st-key-history-pictures img")).to_have_count(3)
        assert_accessible(page, f"{size}-carousel-post")
        page.get_by_role("button", name="Work on it again").click()
        page.get_by_text("From your history.").wait_for()
        expect(page.locator(".st-key-post img")).to_have_count(3)


def test_after_a_reload_one_can_go_on(server, browser, size):
    with open_page(server, browser, size, color_scheme="light", locale="en-US") as page:
        flower = caption(page, server, "Flower")
        page.get_by_label("Text of post 1").fill("Written by hand on a quiet pontoon")
        page.get_by_label("Text of post 1").blur()
        page.wait_for_timeout(1000)
        settle(page)
        page.reload()
        page.get_by_role("button", name="Go on where you were").wait_for()
        expect(page.get_by_label("Text of post 1")).to_have_count(0)
        assert_accessible(page, f"{size}-go-on")
        page.get_by_role("button", name="Go on where you were").click()
        expect(page.get_by_label("Text of post 1")).to_have_value("Written by hand on a quiet pontoon")
        expect(page.locator("p.large")).to_have_text(flower)
        expect(page.get_by_role("button", name="Go on where you were")).to_have_count(0)
        assert_accessible(page, f"{size}-gone-on")


def test_the_browser_remembers_that_nothing_is_kept(server, browser, size):
    with open_page(f"{server}/history", browser, size, locale="en-US") as page:
        with sidebar(page) as bar:
            bar.get_by_text("Keep a history").click()
            page.get_by_text("You switched the history off").wait_for()
        caption(page, server, "Flower")
        page.goto(f"{server}/history")
        page.get_by_text("You switched the history off").wait_for()
        page.get_by_text("Nothing here yet.").wait_for()
