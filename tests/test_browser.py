"""The pages in a real browser, on a desk and on a phone."""

import csv
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from img2prompt.web.shared.photo import sample_path

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MEGABYTE = 2**20
SIZES = {"desktop": {"width": 1280, "height": 960}, "phone": {"width": 390, "height": 844}}
PATIENCE = 120_000  # milliseconds; a busy machine draws slowly
expect.set_options(timeout=PATIENCE)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app's address. Its process may not write a file larger than 1 MB."""
    with serve(tmp_path_factory.mktemp("runs"), largest_file=MEGABYTE) as address:
        yield address


@pytest.fixture(scope="module")
def batch_server(tmp_path_factory):
    """The address of an app that may write, since batches are kept on disk."""
    with serve(tmp_path_factory.mktemp("runs")) as address:
        yield address


@contextmanager
def serve(runs: Path, largest_file: int | None = None) -> Iterator[str]:
    """Start the app; its batches are kept in `runs`."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    environment = {**os.environ, "IMG2PROMPT_RUNS": str(runs)}
    if largest_file:
        environment["IMG2PROMPT_HISTORY"] = "off"  # whose file grows
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    if largest_file:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
    address = f"http://localhost:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None, "streamlit stopped"
                time.sleep(0.5)
        else:
            pytest.fail("streamlit did not start")
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--use-fake-device-for-media-stream",
            ],
        )
        yield chromium
        chromium.close()


def large_photo() -> bytes:
    """A sample photo as BMP of some 3 MB: more than a web server keeps in memory by default."""
    image = Image.open(sample_path("flower.jpg"))
    buffer = BytesIO()
    image.resize((image.width * 2, image.height * 2)).save(buffer, "BMP")
    assert len(buffer.getvalue()) > 2 * MEGABYTE
    return buffer.getvalue()


def small_photos() -> list[dict]:
    """Three photos of different shapes, as a file chooser hands them over."""
    files = []
    for number, (name, size) in enumerate(
        [("china.jpg", (640, 426)), ("flower.jpg", (300, 450)), ("china.jpg", (500, 250))]
    ):
        buffer = BytesIO()
        Image.open(sample_path(name)).resize(size).save(buffer, "PNG")
        files.append({"name": f"{number}.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    return files


@contextmanager
def open_page(server, browser, size: str = "desktop", **options) -> Iterator:
    """The page in a browser of its own. In the end: no script failed, nothing left the machine."""
    context = browser.new_context(viewport=SIZES[size], has_touch=size == "phone", **options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    hosts, problems = set(), []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.on("pageerror", lambda error: problems.append(error))
    page.goto(server)
    page.locator("h1").wait_for()
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"]
    assert hosts <= {"localhost", None}, "something left the machine"
    assert not problems
    context.close()


def screenshot(page, name: str) -> None:
    """The whole page, where somebody wants to look at it."""
    if folder := os.environ.get("IMG2PROMPT_SCREENSHOTS"):
        size = page.viewport_size
        height = page.evaluate("document.querySelector('.stMain').scrollHeight")
        page.set_viewport_size(size | {"height": max(height, size["height"])})
        page.wait_for_timeout(1000)
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size(size)


def assert_accessible(page, name: str) -> None:
    """axe-core finds nothing serious; takes a picture too."""
    page.locator(".stApp[data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(1500)  # colors fade in
    found = Axe().run(page).response["violations"]
    serious = {
        violation["id"]: [(node["html"], node["failureSummary"]) for node in violation["nodes"]]
        for violation in found
        if violation["impact"] in ("serious", "critical")
    }
    assert not serious, name
    screenshot(page, name)


@contextmanager
def sidebar(page) -> Iterator:
    """The sidebar, opened first and closed again where it covers the page."""
    phone = page.viewport_size["width"] < 768
    if phone:
        page.get_by_test_id("stExpandSidebarButton").click()
    yield page.get_by_test_id("stSidebar")
    if phone:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()


def clipboard(page) -> str:
    return page.evaluate("navigator.clipboard.readText()").replace("\r\n", "\n")


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
        page.get_by_text("Read by the lite engine").wait_for()
        page.get_by_label("Text of post 5").wait_for()
        assert_accessible(page, f"{size}-posts")

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
        page.get_by_label("게시글 6의 내용").wait_for()
        assert page.get_by_label("게시글 1의 내용").input_value() == starred


def test_a_click_while_the_model_looks_costs_nothing(server, browser):
    with open_page(server, browser, locale="en-US") as page:
        page.locator("input[type=file]").set_input_files(small_photos() * 3)
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_text("Reading the picture…").wait_for()
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
        for _ in range(10):
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
    context = browser.new_context()
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
    context.close()


@pytest.fixture
def holiday(shared_data, tmp_path) -> Path:
    """A folder of 30 photos, two of them broken and one in a sub-folder."""
    photos = sorted((shared_data / "coco_val" / "images").iterdir())[:28]
    (tmp_path / "holiday" / "0-beach").mkdir(parents=True)
    for number, photo in enumerate(photos):
        shutil.copy(photo, tmp_path / "holiday" / ("0-beach" if number == 0 else "") / photo.name)
    (tmp_path / "holiday" / "broken.jpg").write_bytes(b"Milk, eggs, flour")
    (tmp_path / "holiday" / "empty.png").touch()
    return tmp_path / "holiday"


def download(page, name: str) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    with open(waiting.value.path(), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_csv(batch_server, browser, holiday):
    with open_page(f"{batch_server}/batch", browser, color_scheme="light", locale="en-US") as page:
        page.get_by_role("radio", name="A folder").wait_for()
        assert_accessible(page, "desktop-batch-start")
        page.get_by_role("radio", name="A folder").click()
        page.locator("input[type=file][webkitdirectory]").set_input_files(holiday)
        page.get_by_role("button", name="Start Captioning · 30 files").click()

        page.get_by_role("heading", name="Captions").wait_for()  # the first are there
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_role("button", name="Go on").wait_for()
        stopped = int(re.search(r"(\d+) of 30", page.locator(".st-key-batch-work").inner_text())[1])
        assert 0 < stopped < 30
        page.reload()
        page.get_by_text(f"{stopped} of 30").wait_for()
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Stop", exact=True).wait_for()
        page.reload()  # in the midst of it
        page.get_by_text("30 of 30").wait_for()
        page.get_by_text("2 failed").wait_for()
        page.get_by_role("button", name="New batch").wait_for()

        # What is typed is kept, even by who leaves at once (at the speed of a hand), and shows in the file.
        caption = page.get_by_label("Caption of holiday/0-beach/")
        before = caption.input_value()
        caption.fill("Typed by hand, with a comma")
        page.get_by_test_id("stTopNavLink").filter(has_text="Caption").click(delay=80)
        page.get_by_role("button", name="Flower").wait_for()
        page.get_by_test_id("stTopNavLink").filter(has_text="Batch").click()
        expect(caption).to_have_value("Typed by hand, with a comma")
        assert_accessible(page, "desktop-batch-done")
        rows = download(page, "CSV")
        names = {f"holiday/{file.relative_to(holiday)}" for file in holiday.rglob("*.*")}
        assert {row["path"] for row in rows} == names and len(rows) == 30
        assert rows[0]["caption"] == "Typed by hand, with a comma"
        assert [row["path"] for row in rows if row["error"]] == ["holiday/broken.jpg", "holiday/empty.png"]
        assert all(row["caption"] and row["prompt"] for row in rows if not row["error"])
        assert [row["path"] for row in download(page, "Failed")] == [
            "holiday/broken.jpg",
            "holiday/empty.png",
        ]
        caption.fill("")
        caption.press("Control+Enter")
        expect(caption).to_have_value(before)

        # Whoever knows the address sees the batch; who does not, does not.
        other = browser.new_context(locale="en-US").new_page()
        other.goto(f"{batch_server}/batch")
        other.get_by_role("radio", name="A folder").wait_for()
        assert other.get_by_label("Caption of holiday").count() == 0
        other.goto(page.url)
        other.get_by_text("30 of 30").wait_for()
        other.context.close()


def test_a_batch_on_a_phone(batch_server, browser):
    options = {"color_scheme": "dark", "locale": "ko-KR"}
    with open_page(f"{batch_server}/batch", browser, "phone", **options) as page:
        page.get_by_role("button", name="파일 고르기").wait_for()
        assert_accessible(page, "phone-batch-start")
        broken = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"Milk, eggs, flour"}
        page.locator("input[type=file]").set_input_files([*small_photos(), broken])
        page.get_by_role("button", name="캡션 만들기 · 파일 4개").click()
        page.get_by_text("4장 중 4장").wait_for()
        expect(page.locator(".st-key-results textarea")).to_have_count(3)
        assert_accessible(page, "phone-batch-done")
        page.get_by_role("radio", name="실패").click()
        expect(page.locator(".st-key-results textarea")).to_have_count(0)
        page.get_by_role("button", name="삭제").click()
        page.get_by_role("button", name="이 작업 삭제하기").click()
        page.get_by_role("button", name="파일 고르기").wait_for()
        assert "run=" not in page.url
