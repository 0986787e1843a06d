"""Editing the captions of a batch in a real browser: many at once, by the keyboard, and back again."""

import re

import pytest
from playwright.sync_api import expect

from tests.helpers.browser import SIZES, assert_accessible, open_page, settle
from tests.helpers.pictures import small_photos


def begin(page) -> None:
    page.get_by_role("radio", name="Files or ZIP").wait_for()
    page.locator("input[type=file]").set_input_files(small_photos())
    page.get_by_role("button", name="Start Captioning · 3 files").click()
    page.get_by_text("3 of 3").wait_for()
    page.get_by_role("button", name="New batch").wait_for()
    expect(page.get_by_label("Caption of")).to_have_count(3)
    settle(page)


def captions(page) -> list[str]:
    return [area.input_value() for area in page.get_by_label("Caption of").all()]


@pytest.mark.parametrize("size", SIZES)
def test_many_at_once_and_back_after_a_reload(home, browser, size):
    with open_page(f"{home.address}/batch", browser, size, color_scheme="light", locale="en-US") as page:
        begin(page)
        before = captions(page)
        first = page.get_by_label("Caption of 0.png")

        page.get_by_role("button", name="Add words").click()
        page.get_by_role("textbox", name="Trigger word").fill("sks")
        page.get_by_text(f"+ sks, {before[0]}").first.wait_for()  # the preview
        page.get_by_role("button", name="Change 3 captions").click()
        expect(first).to_have_value(f"sks, {before[0]}")
        page.keyboard.press("Escape")
        expect(page.get_by_role("textbox", name="Trigger word")).to_be_hidden()
        assert captions(page) == [f"sks, {text}" for text in before]

        page.get_by_role("button", name="Find and replace").click()
        page.get_by_role("textbox", name="Find").fill("sk(s)")
        page.get_by_text("Nothing to change").wait_for()
        page.get_by_text("Regular expression").click()
        page.get_by_role("textbox", name="Replace with").fill(r"tr\1")
        page.get_by_text("Found: 3 in 3 captions").wait_for()
        assert_accessible(page, f"{size}-captions-replace")
        page.get_by_role("button", name="Change 3 captions").click()
        expect(first).to_have_value(f"trs, {before[0]}")

        page.reload()
        expect(first).to_have_value(f"trs, {before[0]}")
        settle(page)
        page.get_by_role("button", name="Undo").click()
        expect(first).to_have_value(f"sks, {before[0]}")
        page.get_by_role("button", name="Undo").click()
        expect(first).to_have_value(before[0])
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()
        page.get_by_role("button", name="Redo").click()
        expect(first).to_have_value(f"sks, {before[0]}")
        assert captions(page) == [f"sks, {text}" for text in before]


def test_a_press_on_a_word_leaves_the_captions_that_have_it(home, browser):
    with open_page(f"{home.address}/batch", browser, color_scheme="light", locale="en-US") as page:
        begin(page)
        first = page.get_by_label("Caption of 0.png")
        first.fill("a zebra")
        first.press("Control+Enter")
        page.get_by_text("2 words · 4 of 77 tokens").wait_for()
        page.get_by_text("Count words").click()
        chart = page.locator('[class*="st-key-captions-chart"]')
        chart.locator("canvas, svg").first.wait_for()
        settle(page)
        # The bars are as wide as they are frequent, and begin at the same place.
        box = chart.locator("canvas, svg").first.bounding_box()
        assert box
        page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 26 * 0.5 + 5)
        page.get_by_role("button", name=re.compile("With “")).wait_for()
        word = re.search("“(.*)”", page.get_by_role("button", name=re.compile("With “")).inner_text())[1]
        settle(page)
        assert captions(page) and all(word in text.lower().split() for text in captions(page))
        page.get_by_role("button", name=re.compile("With “")).click()
        expect(page.get_by_label("Caption of")).to_have_count(3)
        page.get_by_role("radio", name="Edited").click()
        expect(page.get_by_label("Caption of")).to_have_count(1)
        assert captions(page) == ["a zebra"]


def test_the_keyboard(home, browser):
    with open_page(f"{home.address}/batch", browser, color_scheme="dark", locale="en-US") as page:
        begin(page)
        before = captions(page)
        areas = page.get_by_label("Caption of")
        page.locator("h1").click()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("e")
        expect(areas.nth(1)).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("jk?")  # letters, in a caption
        page.keyboard.press("Enter")
        page.get_by_text("1 word ·").wait_for()
        settle(page)
        page.keyboard.press("e")
        expect(areas.nth(2)).to_be_focused()
        page.keyboard.press("Escape")
        page.keyboard.press("k")
        page.keyboard.press("k")

        page.keyboard.press("Enter")  # large
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("1 / 3").wait_for()
        settle(page)
        assert_accessible(page, "desktop-captions-large")
        page.keyboard.press("j")
        dialog.get_by_text("2 / 3").wait_for()
        expect(dialog.get_by_label("Caption of 1.png")).to_have_value("jk?")
        dialog.get_by_role("button", name="Keep this one too").click()
        settle(page)
        page.keyboard.press("e")
        expect(dialog.get_by_label("Caption of 1.png")).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("another")
        page.keyboard.press("Enter")  # saves and goes on
        dialog.get_by_text("3 / 3").wait_for()
        settle(page)
        page.keyboard.press("k")
        dialog.get_by_role("button", name="jk?").click()
        expect(dialog.get_by_label("Caption of 1.png")).to_have_value("jk?")
        dialog.get_by_role("button", name="another").wait_for()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        settle(page)

        page.locator("h1").click()
        for _ in range(4):  # choose, edit, keep, edit
            page.keyboard.press("Control+z")
            page.wait_for_timeout(300)
            settle(page)
        expect(areas.nth(1)).to_have_value(before[1])
        page.keyboard.press("Control+Shift+z")
        expect(areas.nth(1)).to_have_value("jk?")
        page.keyboard.press("?")
        page.get_by_text("save a caption and leave it").wait_for()
        assert_accessible(page, "desktop-captions-keys")


def test_pictures_that_are_nearly_the_same(home, browser):
    pytest.importorskip("imagehash")
    with open_page(f"{home.address}/batch", browser, color_scheme="light", locale="en-US") as page:
        begin(page)
        page.get_by_text("Compare pictures").click()
        page.get_by_text("Nearly the same · 2").click()
        expect(page.get_by_label("Caption of")).to_have_count(2)
        expect(page.get_by_text("0.png · group 1")).to_be_visible()
        expect(page.get_by_text("2.png · group 1")).to_be_visible()
        assert_accessible(page, "desktop-captions-alike")
        page.get_by_text("Blurred · 0").click()
        page.get_by_text("Nothing here fits.").wait_for()
        page.get_by_text("Blurred · 0").click()
        expect(page.get_by_label("Caption of")).to_have_count(3)
