"""The prompt in a photo's file, and what people wrote into it, in a real browser."""

import csv
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.helpers import stored as files
from tests.helpers.browser import SIZES, assert_accessible, clipboard, open_page, settle, sidebar
from tests.helpers.pictures import FLOWER, small_photos
from tests.helpers.stored import DREAM, INFOTEXT


def dream() -> dict:
    """A photo that holds a prompt, and that somebody gave a place and a date."""
    city = files.xmp(
        "<photoshop:City>Busan</photoshop:City><photoshop:DateCreated>2024-05-31</photoshop:DateCreated>"
    )
    data = files.png(
        {"parameters": INFOTEXT, "XML:com.adobe.xmp": city.decode()}, Image.open(FLOWER).resize((320, 240))
    )
    return {"name": "dream.png", "mimeType": "image/png", "buffer": data}


@pytest.mark.parametrize("size", SIZES)
def test_a_stored_prompt_and_what_somebody_wrote(server, browser, size):
    with open_page(server, browser, size, color_scheme="light", locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(dream())
        box = page.locator(".st-key-stored-1")
        expect(box.get_by_text(DREAM)).to_be_visible()  # before anybody pressed anything
        assert_accessible(page, f"{size}-stored")
        page.get_by_role("button", name="Copy the prompt stored in this file").click()
        page.get_by_role("button", name="Copied the prompt stored in this file").wait_for()
        assert clipboard(page) == DREAM

        page.get_by_role("button", name="Busan").click()
        page.get_by_role("button", name="Busan").wait_for(state="detached")
        page.get_by_role("button", name="May 31, 2024").click()
        with sidebar(page) as choices:
            expect(choices.get_by_role("textbox", name="One thing only you know")).to_have_value(
                "Busan, May 31, 2024"
            )

        page.get_by_role("button", name="Start Captioning").click()
        first = page.get_by_label("Text of post 1")
        first.wait_for()
        assert "Busan, May 31, 2024" in first.input_value() and "lighthouse" not in first.input_value()
        box.get_by_text("Use it instead of ours").click()
        settle(page)
        page.get_by_text("Prompt and labels").last.click()
        expect(page.locator(".stExpander").get_by_text(DREAM)).to_be_visible()
        assert_accessible(page, f"{size}-stored-posts")


def test_in_korean(server, browser):
    with open_page(server, browser, "phone", color_scheme="dark", locale="ko-KR") as page:
        page.locator("input[type=file]").set_input_files(dream())
        page.get_by_role("heading", name="이 파일에 저장된 프롬프트").wait_for()
        page.get_by_role("button", name="2024년 5월 31일").wait_for()
        assert_accessible(page, "phone-stored-korean")


def test_a_batch_shows_those_that_have_one(home, browser):
    with open_page(f"{home.address}/batch", browser, color_scheme="light", locale="en-US") as page:
        page.get_by_role("radio", name="Files or ZIP").wait_for()
        page.locator("input[type=file]").set_input_files([*small_photos()[:2], dream()])
        page.get_by_role("button", name="Start Captioning · 3 files").click()
        page.get_by_role("button", name="New batch").wait_for()
        results = page.locator(".st-key-results")
        expect(results.locator("textarea")).to_have_count(3)
        page.get_by_role("radio", name="Stored prompt").click()
        expect(results.locator("textarea")).to_have_count(1)
        results.get_by_text(DREAM).wait_for()
        assert_accessible(page, "desktop-batch-stored")
        assert [row["stored_prompt"] for row in table(page)] == ["", "", DREAM]

        page.get_by_role("link", name="Models").click()
        page.get_by_text("Show and export prompts stored in files").click()
        settle(page)
        page.go_back()
        page.get_by_role("button", name="New batch").wait_for()
        expect(results.locator("textarea")).to_have_count(3)
        expect(results.get_by_text(DREAM)).to_have_count(0)
        assert [row["stored_prompt"] for row in table(page)] == ["", "", ""]


def table(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    data = Path(download.value.path()).read_bytes()
    return list(csv.DictReader(BytesIO(data).read().decode("utf-8-sig").splitlines()))
