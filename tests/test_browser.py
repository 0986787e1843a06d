"""The first page in a real browser: upload, press, read, copy."""

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from img2prompt.web.photos import sample_path

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MEGABYTE = 2**20

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def server():
    """The app's address. Its process may not write a file larger than 1 MB."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (MEGABYTE, MEGABYTE))
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
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
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


def screenshot(page, name: str) -> None:
    if folder := os.environ.get("IMG2PROMPT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_upload_press_read_copy(server, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 960}, color_scheme="light")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(300_000)
    page = context.new_page()
    hosts, problems = set(), []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.on("pageerror", lambda error: problems.append(error))

    page.goto(server)
    page.get_by_role("heading", name="Captioning for Instagram").wait_for()
    photo = {"name": "flower.bmp", "mimeType": "image/bmp", "buffer": large_photo()}
    page.locator("input[type=file]").set_input_files(photo)
    page.get_by_role("button", name="Start Captioning").click()

    caption = page.locator("p.large")
    caption.wait_for()
    text = caption.inner_text()
    assert re.fullmatch(r"[A-Z].+\.", text)
    page.get_by_text("Read by the lite engine").wait_for()
    screenshot(page, "desktop")

    page.get_by_role("button", name="Copy caption").click()
    page.get_by_role("button", name="Copied caption").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert page.get_by_role("status").get_by_text("Caption copied").count() == 1

    copy_prompt = page.get_by_role("button", name="Copy prompt")
    copy_prompt.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copied prompt").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith(text[:-1].lower())
    assert caption.inner_text() == text  # copying lost nothing

    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Start Captioning").scroll_into_view_if_needed()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(page, "phone")

    assert hosts <= {"localhost", None}, "something left the machine"
    assert not problems
    context.close()


def test_copy_without_clipboard_api(server, browser):
    """Over plain http on a local network browsers offer no navigator.clipboard."""
    context = browser.new_context()
    context.grant_permissions(["clipboard-read"])
    context.set_default_timeout(300_000)
    page = context.new_page()
    page.add_init_script(
        "window.read = navigator.clipboard.readText.bind(navigator.clipboard);"
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
    )
    page.goto(server)
    page.get_by_role("button", name="Temple").click()
    page.get_by_role("button", name="Start Captioning").click()
    page.get_by_role("button", name="Copy caption").click()
    page.get_by_role("button", name="Copied caption").wait_for()
    assert page.evaluate("window.read()") == page.locator("p.large").inner_text()
    context.close()
