"""The uploaders: words of their own, and a sentence for each file that they do not take."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from img2prompt.web.shared.i18n import catalogue
from tests.helpers.browser import MEGABYTE, SIZES, assert_accessible, open_page, settle
from tests.helpers.pictures import CHINA, FLOWER

KOREAN = catalogue("ko")
NOTES = {"name": "# notes.PDF", "mimeType": "application/pdf", "buffer": b"%PDF"}
LARGE = {"name": "LARGE.JPG", "mimeType": "image/jpeg", "buffer": bytes(25 * MEGABYTE + 1)}


def photo(name: str, format: str) -> dict:
    """A small photo, as a file chooser hands it over."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    buffer = BytesIO()
    Image.open(FLOWER).resize((300, 200)).save(buffer, format)
    return {"name": name, "mimeType": f"image/{format.lower()}", "buffer": buffer.getvalue()}


def refusal(names: str, words: str, key: str, **values: object) -> str:
    return f"{names}: {catalogue(words)[key].format(**values)}"


def chips(page: Page) -> Locator:
    return page.get_by_test_id("stFileChip")


def ready(page: Page, uploaders: int = 1) -> None:
    """Wait until something listens to what is chosen, as it does before any hand can choose."""
    expect(page.locator("[class*=-refused] section")).to_have_count(uploaders)
    settle(page)


def drop(page: Page, *paths: Path) -> None:
    """Let go of files and folders over the uploader, as a file manager does."""
    box = page.get_by_test_id("stFileUploaderDropzone").first.bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    with_mouse = page.context.new_cdp_session(page)
    for type in ("dragEnter", "dragOver", "drop"):
        with_mouse.send("Input.dispatchDragEvent", {"type": type, **place, "data": data})


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_uploader_has_words(server, browser, size, language):
    words = catalogue(language)
    with open_page(server, browser, size, locale=language) as page:
        for name, uploaders, begins in (
            ("", 1, ("upload.button", "upload.limits")),
            ("batch", 1, ("batch.upload.files", "batch.limits.files")),
            ("explore", 2, ("explore.button", "explore.limits")),
        ):
            page.goto(f"{server}/{name}")
            zones = page.get_by_test_id("stFileUploaderDropzone")
            expect(zones).to_have_count(uploaders)
            settle(page)
            for zone in zones.all():
                shown = zone.evaluate(
                    """zone => [...zone.querySelectorAll("*")]
                        .map((element) => getComputedStyle(element, "::after"))
                        .filter((style) => parseFloat(style.fontSize) > 10 && style.content.startsWith('"'))
                        .map((style) => style.content.slice(1, -1))"""
                )
                assert len(shown) == 2
                for text, key in zip(shown, begins, strict=True):
                    assert text.startswith(words[key].partition("{")[0])
        assert_accessible(page, f"{size}-{language}-uploaders")


@pytest.mark.parametrize("size", SIZES)
def test_what_the_caption_page_does_not_take(server, browser, size):
    with open_page(server, browser, size, color_scheme="light", locale="ko-KR") as page:
        ready(page)
        chooser = page.locator("input[type=file]")
        chooser.set_input_files([NOTES, photo("IMG_0001.HEIC", "HEIF"), LARGE])
        boxes = page.get_by_role("alert")
        told = [
            refusal("# notes.PDF", "ko", "upload.unsupported"),
            refusal("LARGE.JPG", "ko", "upload.too_large", megabytes=25),
        ]
        expect(boxes).to_have_text(told)
        expect(page.locator(".st-key-picture img")).to_have_count(1)
        expect(chips(page)).to_have_count(1)
        expect(chips(page)).to_contain_text("IMG_0001.HEIC")
        assert_accessible(page, f"{size}-refused")

        # The next choice is told of by itself.
        chooser.set_input_files([NOTES])
        expect(boxes).to_have_text(told[:1])
        chooser.set_input_files([photo("flower.PNG", "PNG")])
        expect(boxes).to_have_count(0)
        expect(chips(page)).to_have_count(2)


def test_what_is_pasted_is_judged_alike(server, browser):
    with open_page(server, browser, locale="en-US") as page:
        page.get_by_role("button", name="Paste a picture").wait_for()
        ready(page)
        page.evaluate(
            """() => {
                const clipboardData = new DataTransfer();
                clipboardData.items.add(new File(["<svg/>"], "image.svg", { type: "image/svg+xml" }));
                document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
            }"""
        )
        expect(page.get_by_role("alert")).to_have_text(refusal("pasted.svg+xml", "en", "upload.unsupported"))
        expect(chips(page)).to_have_count(0)
        page.get_by_role("button", name="Flower").click()
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_dropped_is_judged_alike(server, browser, size, tmp_path):
    folder = tmp_path / "holiday" / "beach"
    folder.mkdir(parents=True)
    (folder / "flower.JPG").write_bytes(FLOWER.read_bytes())
    for number in range(7):
        (folder.parent / f"{number}.txt").write_text("Milk, eggs")
    with open_page(server, browser, size, locale="en-US") as page:
        ready(page)
        drop(page, CHINA)
        expect(chips(page)).to_have_count(1)
        drop(page, folder.parent)
        expect(page.get_by_role("alert")).to_contain_text(refusal(" … (+2)", "en", "upload.unsupported"))
        expect(chips(page)).to_have_count(2)
        expect(chips(page).filter(has_text="flower.JPG")).to_have_count(1)
        expect(page.get_by_text("Drag and drop")).to_have_count(0)


@pytest.mark.parametrize("several", [False, True])
def test_an_answer_that_gets_lost_loses_no_file(server, browser, several):
    """Streamlit drops the answer to "where shall this go" if a run of the script begins at that moment."""
    lost = []

    def relay(socket: WebSocketRoute) -> None:
        behind = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if not lost and b"/_stcore/upload_file/" in bytes(message):
                lost.append(message)
            else:
                socket.send(message)

        behind.on_message(pass_on)

    with browser.new_context(locale="en-US") as context:
        page = context.new_page()
        page.route_web_socket("**/_stcore/stream", relay)
        page.goto(server if several else f"{server}/explore")
        ready(page, 1 if several else 2)
        texts = [{"name": "foxes.txt", "mimeType": "text/plain", "buffer": b"a fox in the snow"}]
        photos = [photo("flower.PNG", "PNG"), photo("other.PNG", "PNG")]
        page.locator("input[type=file]").first.set_input_files(photos if several else texts)
        expect(chips(page)).to_have_count(2 if several else 1)
        assert lost
        page.wait_for_timeout(9000)  # longer than it waits for an answer: nothing is handed over twice
        expect(chips(page)).to_have_count(2 if several else 1)


UNREADABLE = """zone => {
    const gone = { isFile: true, name: "gone.jpg", file: (_, fail) => fail(new DOMException("", "NotFoundError")) };
    const notes = { isFile: true, name: "notes.txt", file: (found) => found(new File(["Milk"], "notes.txt")) };
    const items = [gone, notes].map((entry) => ({ webkitGetAsEntry: () => entry }));
    const event = new DragEvent("drop", { bubbles: true, cancelable: true });
    Object.defineProperty(event, "dataTransfer", { value: { items, files: items } });
    zone.dispatchEvent(event);
}"""


def test_what_cannot_be_read_keeps_nothing_else_back(server, browser):
    with open_page(server, browser, "desktop", locale="en-US") as page:
        ready(page)
        # A file that is gone when it is asked for: a drop that is made by hand leaves out what is not there.
        page.get_by_test_id("stFileUploaderDropzone").first.evaluate(UNREADABLE)
        box = page.get_by_role("alert")
        expect(box.filter(has_text=refusal("gone.jpg", "en", "upload.unreadable"))).to_have_count(1)
        expect(box.filter(has_text=refusal("notes.txt", "en", "upload.unsupported"))).to_have_count(1)


@pytest.mark.parametrize("size", SIZES)
def test_what_the_batch_page_does_not_take(server, browser, size, tmp_path):
    folder = tmp_path / "holiday" / "beach"
    folder.mkdir(parents=True)
    (folder / "flower.JPG").write_bytes(FLOWER.read_bytes())
    (folder / "flower.txt").write_text("a flower")
    with open_page(f"{server}/batch", browser, size, locale="en-US") as page:
        ready(page)
        chooser = page.locator("input[type=file]")
        chooser.set_input_files([NOTES, photo("flower.PNG", "PNG")])
        box = page.get_by_role("alert")
        expect(box).to_have_text(refusal("# notes.PDF", "en", "batch.unsupported"))
        expect(chips(page)).to_have_count(1)

        page.get_by_role("radio", name="A folder").click()
        expect(box).to_have_count(0)
        ready(page)
        page.locator("input[type=file][webkitdirectory]").set_input_files(tmp_path / "holiday")
        expect(box).to_have_text(refusal("flower.txt", "en", "upload.unsupported"))
        # The path that the folder gives it comes along.
        expect(chips(page).get_by_title("holiday/beach/flower.JPG")).to_have_count(1)
        expect(chips(page)).to_have_count(1)


@pytest.mark.parametrize("size", SIZES)
def test_what_the_explore_page_does_not_take(server, browser, size, tmp_path):
    large = {"name": "prompts.csv", "mimeType": "text/csv", "buffer": bytes(5 * MEGABYTE + 1)}
    texts = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for text in texts:
        text.write_text("a fox in the snow\n")
    with open_page(f"{server}/explore", browser, size, locale="en-US") as page:
        ready(page, 2)
        page.locator("input[type=file]").first.set_input_files(large)
        page.locator("input[type=file]").last.set_input_files(NOTES)
        expect(page.get_by_role("alert")).to_have_text(
            [
                refusal("prompts.csv", "en", "explore.too_large", megabytes=5),
                refusal("# notes.PDF", "en", "explore.unsupported"),
            ]
        )
        expect(chips(page)).to_have_count(0)
        drop(page, *texts)
        expect(page.get_by_role("alert").first).to_have_text(refusal("two.txt", "en", "upload.surplus"))
        expect(chips(page)).to_have_count(1)
        expect(chips(page)).to_contain_text("one.txt")
