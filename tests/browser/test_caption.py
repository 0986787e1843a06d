"""The Caption page in a real browser, on a desk and on a phone."""

import re
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.helpers.browser import (
    MEGABYTE,
    PATIENCE,
    SIZES,
    assert_accessible,
    choose,
    clipboard,
    open_page,
    screenshot,
    settle,
    sidebar,
)
from tests.helpers.pictures import FLOWER, small_photos, towers

TOWERS = {"name": "towers.png", "mimeType": "image/png", "buffer": towers()}


def large_photo() -> bytes:
    """A sample photo as BMP of some 3 MB: more than a web server keeps in memory by default."""
    image = Image.open(FLOWER)
    buffer = BytesIO()
    image.resize((image.width * 2, image.height * 2)).save(buffer, "BMP")
    assert len(buffer.getvalue()) > 2 * MEGABYTE
    return buffer.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_from_upload_to_clipboard(server, browser, size):
    with open_page(server, browser, size, color_scheme="light", locale="en-US") as page:
        assert page.title() == "Captioning for Instagram"
        page.get_by_role("button", name="Paste a picture").wait_for()
        assert_accessible(page, f"{size}-start")

        photo = {"name": "flower.bmp", "mimeType": "image/bmp", "buffer": large_photo()}
        page.locator("input[type=file]").set_input_files(photo)
        page.get_by_role("button", name="Start Captioning").click()
        caption = page.locator("p.large")
        caption.wait_for()
        text = caption.inner_text()
        assert re.fullmatch(r"[A-Z].+\.", text)
        page.get_by_label("Text of post 5").wait_for()
        expect(page.get_by_role("status").get_by_text("The posts are ready.")).to_have_count(1)
        assert_accessible(page, f"{size}-posts")
        page.get_by_text("Prompt and labels").click()
        page.get_by_text("Read by the lite engine").wait_for()

        page.get_by_role("button", name="Copy caption").click()
        page.get_by_role("button", name="Copied caption").wait_for()
        assert clipboard(page) == text
        assert page.get_by_role("status").get_by_text("Caption copied").count() == 1

        post = page.get_by_label("Text of post 2")
        plain = post.input_value()
        with sidebar(page) as choices:
            choices.get_by_role("radio", name="Playful").click()
            playful = changed(post, plain)
        page.get_by_role("button", name="Shuffle").click()
        changed(post, playful)

        # What was typed stays, whatever else is pressed, and is what the preview shows.
        typed = "Typed by hand \U0001f33c\n\n#mine"
        post.fill(typed)
        preview = page.locator(".st-key-post")
        preview.get_by_text("Typed by hand").wait_for()
        page.get_by_role("button", name="Star post 1").click()
        preview.get_by_text("Typed by hand").wait_for(state="detached")
        assert post.input_value() == typed
        with sidebar(page) as choices:
            choices.get_by_role("radio", name="한국어").click()
            page.get_by_role("heading", name="인스타그램 캡션 만들기").wait_for()
        post = page.get_by_label("게시글 2의 내용")
        assert post.input_value() == typed
        page.get_by_role("button", name="게시글 2 복사").click()
        page.get_by_role("button", name="게시글 2 복사됨").wait_for()
        assert clipboard(page) == typed
        assert page.evaluate("document.documentElement.lang") == "ko"
        assert_accessible(page, f"{size}-korean")

        with page.expect_download() as download:
            page.get_by_role("button", name="모두 내려받기").click()
        saved = Path(download.value.path()).read_text("utf-8")
        assert typed in saved and page.get_by_label("게시글 5의 내용").input_value() in saved

        starred = page.get_by_label("게시글 1의 내용").input_value()
        page.get_by_role("button", name="다시 섞기").click()
        page.get_by_label("게시글 7의 내용").wait_for()
        settle(page)
        assert page.get_by_label("게시글 1의 내용").input_value() == starred
        assert page.get_by_label("게시글 2의 내용").input_value() == typed


def test_a_click_while_the_model_looks_costs_nothing(server, browser):
    with open_page(server, browser, locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(small_photos() * 3)
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_role("radio", name="Playful").click()
        page.get_by_label("Text of post 5").wait_for()


def changed(area, before: str) -> str:
    """What a text area says once it says something else."""
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        values = area.evaluate_all("areas => areas.map((area) => area.value)")
        if len(values) == 1 and values[0] != before:  # while cards change, old and new are there
            return values[0]
        area.page.wait_for_timeout(200)
    pytest.fail(f"still {before!r}")


def test_limits_are_counted_while_typing(server, browser):
    with open_page(server, browser, color_scheme="dark", locale="en-US") as page:
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        post = page.get_by_label("Text of post 1")
        post.fill("x" * 125)
        page.get_by_text("First line 125 / 125").wait_for()
        assert page.get_by_text("The first line is longer").count() == 0
        post.press("End")
        post.press("x")
        page.get_by_text("First line 126 / 125").wait_for()
        page.get_by_role("status").get_by_text("The first line is longer").wait_for()
        post.fill("x" * 2201)
        page.get_by_text("In all 2,201 / 2,200").wait_for()
        assert post.get_attribute("aria-invalid") == "true"

        more = page.locator(".st-key-post").get_by_role("button", name="more")
        expect(page.locator(".st-key-post").get_by_text("x" * 125, exact=True)).to_be_visible()
        more.click()
        page.locator(".st-key-post").get_by_text("x" * 2201).wait_for()
        page.locator(".st-key-post").get_by_role("button", name="less").click()
        assert_accessible(page, "desktop-dark")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_copied_is_what_the_page_shows_in_the_end(server, browser, size):
    def copies(number: int) -> None:
        """Whether *Copy*, at once, copies what the page shows when it has settled."""
        page.get_by_role("button", name=f"Copy post {number}").click()
        page.get_by_role("button", name=f"Copied post {number}").wait_for()
        copied = clipboard(page)
        settle(page)
        assert copied == page.get_by_label(f"Text of post {number}").input_value()

    with open_page(server, browser, size, locale="en-US") as page:
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        post = page.get_by_label("Text of post 1")
        plain = post.input_value()
        with sidebar(page) as choices:
            choices.get_by_role("textbox", name="One thing only you know").fill("Jeju, with Mina")
        copies(1)
        assert "Jeju, with Mina" in clipboard(page)

        # Who is elsewhere by then stays there.
        with sidebar(page) as choices:
            choices.get_by_role("textbox", name="One thing only you know").fill("Jeju, with Minsu")
        page.get_by_role("button", name="Copy post 2").click()
        shuffle = page.get_by_role("button", name="Shuffle")
        shuffle.focus()
        page.get_by_role("button", name="Copied post 2").wait_for()
        expect(shuffle).to_be_focused()
        assert "Jeju, with Minsu" in clipboard(page)
        settle(page)

        with sidebar(page) as choices:
            choices.get_by_role("radio", name="Playful").click()
        copies(2)
        assert plain != clipboard(page)

        with sidebar(page) as choices:
            choices.get_by_role("textbox", name="One thing only you know").fill("Busan, alone")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download all").click()
        saved = Path(download.value.path()).read_text("utf-8")
        assert saved.count("Busan, alone") == 6 and "Jeju" not in saved  # five posts and the alt text
        settle(page)  # until then, cards of before and after may stand side by side
        expect(post).to_have_value(re.compile("Busan, alone"))

        with sidebar(page) as choices:
            playful = post.input_value()
            choices.get_by_role("radio", name="Poetic").click()
        changed(post, playful)
        post.fill("Typed by hand")
        copies(1)
        page.get_by_role("button", name="Shuffle").click()
        copies(2)

        post.fill("Typed again")
        copies(1)
        settle(page)
        page.evaluate("document.img2promptTouched = -Infinity")  # long ago: the browser copies alone
        copies(2)


@pytest.mark.parametrize("size", SIZES)
def test_an_edited_post_stays_until_its_edit_is_undone_and_others_are_written(server, browser, size):
    with open_page(server, browser, size, locale="en-US") as page:
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        second, sixth = page.get_by_label("Text of post 2"), page.get_by_label("Text of post 6")
        undo = page.get_by_role("button", name="Undo edits of post")
        original = second.input_value()
        expect(undo).to_have_count(0)

        # Among the posts that are written now, undoing gives back what was there.
        second.fill("Typed by hand")
        undo.click()
        assert second.input_value() == original
        expect(undo).to_have_count(0)

        # At once, before Python can have heard of the edit.
        second.fill("Typed by hand")
        page.get_by_role("button", name="Shuffle").click()
        sixth.wait_for()
        settle(page)
        assert page.get_by_label("Text of post 1").input_value() == "Typed by hand"
        with sidebar(page) as choices:
            choices.get_by_role("radio", name="Poetic").click()
        settle(page)
        assert page.get_by_label("Text of post 1").input_value() == "Typed by hand"
        assert_accessible(page, f"{size}-edited")

        # The edit goes at once, the post when others are written.
        undo.click()
        expect(undo).to_have_count(0)
        settle(page)
        assert page.get_by_label("Text of post 1").input_value() == original
        page.get_by_role("button", name="Shuffle").click()
        expect(sixth).to_have_count(0)
        settle(page)
        assert page.get_by_label("Text of post 1").input_value() not in ("Typed by hand", original)


@pytest.mark.parametrize("size", SIZES)
def test_posts_stay_when_photos_are_added_or_removed(server, browser, size):
    with open_page(server, browser, size, locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(small_photos()[0])
        page.get_by_role("button", name="Start Captioning").click()
        first, pictures = page.get_by_label("Text of post 1"), page.locator(".st-key-post img")
        start = page.get_by_role("button", name="Start Captioning")
        earlier = page.get_by_text("These posts are about the photos from before")
        first.fill("Typed by hand")
        expect(pictures).to_have_count(1)
        expect(start).to_have_count(0)
        page.get_by_role("button", name="Undo edits of post 1").wait_for()
        settle(page)

        page.locator("input[type=file]").set_input_files(small_photos()[1])
        earlier.wait_for()
        settle(page)
        assert first.input_value() == "Typed by hand"
        expect(pictures).to_have_count(1)
        assert_accessible(page, f"{size}-earlier")
        start.click()
        expect(pictures).to_have_count(2)
        expect(earlier).to_have_count(0)
        expect(start).to_have_count(0)
        settle(page)
        assert first.input_value() == "Typed by hand"

        page.get_by_test_id("stFileUploader").get_by_role("button", name="0.png").click()
        earlier.wait_for()
        expect(pictures).to_have_count(2)
        start.click()
        expect(pictures).to_have_count(1)
        expect(earlier).to_have_count(0)
        settle(page)
        page.get_by_test_id("stFileUploader").get_by_role("button", name="1.png").click()
        expect(first).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
def test_a_photo_that_arrives_late_moves_nothing(server, browser, size):
    held = []
    with open_page(server, browser, size, locale="en-US") as page:
        page.route("**/media/**", lambda route: held.append(route))
        page.locator("input[type=file]").set_input_files(TOWERS)
        start = page.get_by_role("button", name="Start Captioning")
        start.wait_for()
        settle(page)
        assert not page.locator(".st-key-picture img").evaluate("photo => photo.complete")
        before = start.bounding_box()
        for route in held:
            route.continue_()
        page.wait_for_function("document.querySelector('.st-key-picture img').naturalWidth > 0")
        assert start.bounding_box() == before


@pytest.mark.parametrize("size", SIZES)
def test_posts_come_first(server, browser, size):
    with open_page(server, browser, size, locale="en-US") as page:
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        first = page.get_by_label("Text of post 1")
        first.wait_for()
        page.get_by_role("button", name="Copy prompt").wait_for(state="hidden")
        settle(page)
        beside = page.locator(".st-key-preview")
        screen = SIZES[size]["height"]
        assert first.bounding_box()["y"] < screen
        assert page.evaluate("document.querySelector('.stMain').scrollHeight") < (
            3300 if size == "phone" else 2000
        )
        if size == "phone":
            assert beside.bounding_box()["y"] > page.get_by_label("Text of post 5").bounding_box()["y"]
        else:
            assert beside.bounding_box()["y"] < first.bounding_box()["y"]
            expect(page.locator(".st-key-post img")).to_be_in_viewport(ratio=0.5)
        page.get_by_text("Prompt and labels").click()
        page.get_by_role("button", name="Copy prompt").click()
        page.get_by_role("button", name="Copied prompt").wait_for()


@pytest.mark.parametrize("size", SIZES)
def test_choices_survive_a_reload(server, browser, size):
    with open_page(server, browser, size, locale="en-US") as page:
        with sidebar(page) as choices:
            for name in ("Poetic", "Tag a friend", "Long", "Off"):
                choices.get_by_role("radio", name=name, exact=True).click()
                settle(page)
            choices.get_by_role("slider", name="Hashtags").press("Home")
            choices.get_by_role("slider", name="Number of posts").press("Home")
            choices.get_by_role("textbox", name="One thing only you know").fill("with Mina")
            settle(page)
        page.wait_for_function(
            "document.cookie.includes('variants=1') && document.cookie.includes('hashtags=0')"
        )
        assert "Mina" not in page.evaluate("document.cookie")
        page.reload()
        settle(page)
        with sidebar(page) as choices:
            for name in ("Poetic", "Tag a friend", "Long", "Off"):
                expect(choices.get_by_role("radio", name=name, exact=True)).to_be_checked()
            expect(choices.get_by_role("slider", name="Hashtags")).to_have_value("0")
            expect(choices.get_by_role("slider", name="Number of posts")).to_have_value("1")
            expect(choices.get_by_role("textbox", name="One thing only you know")).to_have_value("")


@pytest.mark.parametrize("size", SIZES)
def test_detail_platform_and_voice(server, browser, size):
    with open_page(server, browser, size, locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(TOWERS)
        page.get_by_role("button", name="Start Captioning").click()
        post = page.get_by_label("Text of post 1")
        post.wait_for()
        settle(page)
        plain = post.input_value()
        with sidebar(page) as choices:
            detail = choices.get_by_role("textbox", name="One thing only you know")
            expect(detail).not_to_have_attribute(
                "placeholder", "Busan, with Mina"
            )  # but an example for towers
            detail.fill("Jeju, with Mina")
            noted = changed(post, plain)
            assert noted.startswith("Jeju, with Mina\n") and "#Jeju #Mina" in noted, noted
            choose(page, "Platform", "X", exact=True)
            short = changed(post, noted)
            assert short.count("#") == 1
            expect(page.get_by_text("/ 280").first).to_be_visible() if size == "desktop" else None
            choices.get_by_text("Write like me").click()
            voice = choices.get_by_role("textbox", name="Captions you have posted")
            voice.fill("back in the water, finally!\n\nsunday was for pancakes!\n\nnew week, same coffee!")
            voice.press("Control+Enter")
            own = changed(post, short)
            assert own.partition("#")[0].islower() and "!" in own and "jeju, with mina" in own
            choices.get_by_text("The posts follow 3 of your captions.").wait_for()
        page.reload()  # who sits at the machine finds them again
        settle(page)
        with sidebar(page) as choices:
            choices.get_by_text("Write like me").click()
            expect(voice).to_have_value(re.compile("pancakes"))
            voice.fill("")
            voice.press("Control+Enter")
            choices.get_by_text("of your captions").wait_for(state="detached")


@pytest.mark.parametrize("size", SIZES)
def test_korean_posts(server, browser, size):
    with open_page(server, browser, size, locale="ko-KR") as page:
        page.locator("input[type=file]").set_input_files(TOWERS)
        page.get_by_role("button", name="캡션 만들기").click()
        post = page.get_by_label("게시글 1의 내용")
        post.wait_for()
        text = post.input_value()
        assert re.fullmatch(r"[^A-Za-z]*[가-힣][^A-Za-z]*", text) and "\n\n#" in text
        expect(post).to_have_attribute("lang", "ko")
        page.get_by_role("button", name="게시글 1 복사").click()
        page.get_by_role("button", name="복사됨").first.wait_for()
        assert clipboard(page) == text
        assert_accessible(page, f"{size}-korean-posts")


@pytest.mark.parametrize("size", SIZES)
def test_a_long_note_is_cut_and_says_so(server, browser, size):
    with open_page(server, browser, size, locale="ko-KR") as page:
        page.get_by_role("button", name="꽃").click()
        page.get_by_role("button", name="캡션 만들기").click()
        page.get_by_label("게시글 1의 내용").wait_for()
        page.evaluate(f"navigator.clipboard.writeText({'at ' + 'word ' * 79 + 'tail'!r})")
        with sidebar(page) as choices:
            note = choices.get_by_role("textbox", name="나만 아는 한 가지")
            note.press("Control+V")
            choices.get_by_text("300자까지만").wait_for()
            settle(page)
            assert note.input_value().endswith("tail")
            expect(page.get_by_test_id("InputInstructions").first).to_be_hidden()
            if size == "phone":
                screenshot(page, f"{size}-long-note")
            post = page.get_by_label("게시글 1의 내용")
            assert post.input_value().split("\n")[1] == "at" + " word" * 59
            note.fill("word")
            expect(choices.get_by_text("300자까지만")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
def test_carousel_of_three(server, browser, size):
    with open_page(server, browser, size, color_scheme="dark", locale="ko-KR") as page:
        page.locator("input[type=file]").set_input_files(small_photos())
        page.get_by_role("button", name="캡션 만들기").click()
        page.get_by_label("게시글 1의 내용").wait_for()
        preview = page.locator(".st-key-post")
        expect(preview.locator("img")).to_have_count(3)
        assert all(preview.locator("img").nth(at).get_attribute("alt") for at in range(3))
        preview.get_by_text("1/3").wait_for()
        preview.get_by_role("button", name="다음 사진").click()
        preview.get_by_text("2/3").wait_for()
        page.wait_for_timeout(1000)  # until it has slid
        preview.get_by_role("group", name="게시물의 사진").press("ArrowRight")
        preview.get_by_text("3/3").wait_for()
        expect(preview.locator("img").nth(2)).to_be_in_viewport(ratio=0.5)
        assert preview.get_by_role("button", name="다음 사진").count() == 0

        page.get_by_role("radio", name="1.91:1").click()
        expect(preview.locator("img").first).to_have_css("aspect-ratio", "1.91 / 1")
        for number in (1, 2, 3):
            page.get_by_role("tab", name=f"사진 {number}").click()
            page.get_by_role("button", name=f"대체 텍스트 {number} 복사").click()
            page.get_by_role("button", name=f"대체 텍스트 {number} 복사됨").wait_for()
            assert 0 < len(clipboard(page)) <= 100
        assert_accessible(page, f"{size}-carousel")


def test_keyboard_alone(server, browser):
    def tab_to(name: str) -> None:
        """Press Tab until the focus is on what has this name, and see that it shows."""
        for _ in range(100):
            page.keyboard.press("Tab")
            focused = page.evaluate_handle(
                """() => {
                    let element = document.activeElement;
                    while (element.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
                    return element;
                }"""
            ).as_element()
            label = focused.get_attribute("aria-label") or focused.inner_text() or ""
            if label.strip() == name:
                assert focused.evaluate("e => getComputedStyle(e).outlineStyle") != "none"  # the focus shows
                return
        pytest.fail(f"Tab never reached {name}")

    with open_page(server, browser, locale="en-US") as page:
        page.get_by_role("button", name="Flower").wait_for()
        tab_to("Flower")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Start Captioning").wait_for()
        tab_to("Start Captioning")
        page.keyboard.press("Enter")
        page.get_by_label("Text of post 1").wait_for()
        tab_to("Text of post 1")
        page.keyboard.press("Control+A")
        page.keyboard.type("Typed")
        page.keyboard.press("Shift+Tab")  # back to the copy button
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Copied post 1").wait_for()
        assert clipboard(page) == "Typed"


@pytest.mark.parametrize("way", ["button", "keys"])
def test_paste(server, browser, way):
    with open_page(server, browser, locale="en-US") as page:
        button = page.get_by_role("button", name="Paste a picture")
        button.wait_for()
        page.evaluate("navigator.clipboard.writeText('no picture')")
        button.click()
        page.get_by_text("There is no picture in the clipboard.").wait_for()
        page.evaluate(
            """async () => {
                const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 200 });
                canvas.getContext("2d").fillRect(40, 40, 100, 100);
                const picture = await new Promise((done) => canvas.toBlob(done));
                await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
            }"""
        )
        if way == "button":
            button.click()
        else:
            page.keyboard.press("Control+V")
        page.get_by_role("button", name="Start Captioning").wait_for()
        page.get_by_text("pasted.png").wait_for()


def test_camera(server, browser):
    with open_page(server, browser, locale="en-US", permissions=["camera"]) as page:
        page.get_by_text("Use the camera").click()
        # Streamlit asks for the camera once more when the page has its width; till then its button may do nothing.
        taken = page.get_by_role("button", name="Clear photo")
        for _ in range(PATIENCE // 3000):
            page.get_by_role("button", name="Take Photo").click()
            page.wait_for_timeout(3000)
            if taken.count():
                break
        page.get_by_role("button", name="Start Captioning").wait_for()
        expect(page.locator(".st-key-picture img")).to_have_count(1)


def test_preview_stays_in_sight(server, browser):
    with open_page(server, browser, locale="en-US") as page:
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_label("Text of post 5").scroll_into_view_if_needed()
        page.get_by_role("button", name="Preview post 5").click()
        expect(page.locator(".st-key-post img")).to_be_in_viewport(ratio=0.9)


def test_copy_without_clipboard_api(server, browser):
    """Over plain http on a local network browsers offer no navigator.clipboard."""
    with browser.new_context() as context:
        context.grant_permissions(["clipboard-read"])
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.add_init_script(
            "window.read = navigator.clipboard.readText.bind(navigator.clipboard);"
            "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
        )
        page.goto(server)
        page.get_by_role("button", name="Paste a picture").click()
        page.get_by_text("Press Ctrl+V").wait_for()
        page.get_by_role("button", name="Temple").click()
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_role("button", name="Copy caption").click()
        page.get_by_role("button", name="Copied caption").wait_for()
        assert page.evaluate("window.read()") == page.locator("p.large").inner_text()
