"""A model server is named, tested and used, in a real browser."""

import threading

import pytest
from playwright.sync_api import expect

pytest.importorskip("openai", reason="needs the extra endpoint")

from tests.helpers import chat_server
from tests.helpers.browser import SIZES, assert_accessible, open_page, settle, sidebar


@pytest.fixture
def chat():
    with chat_server.serve() as chat:
        yield chat


@pytest.mark.parametrize("size", SIZES)
def test_a_server_is_tested_and_the_pages_say_where_photos_go(home, browser, chat, size):
    host = f"localhost:{chat.port}"
    with open_page(f"{home.address}/models", browser, size, locale="en-US") as page:
        page.get_by_role("radio", name="Endpoint").click()
        address = page.get_by_role("textbox", name="Address of the model server")
        address.fill("http://192.0.2.7:8000/v1")
        address.press("Enter")
        page.get_by_text("192.0.2.7:8000 is not the machine that runs this app.").wait_for()
        expect(page.get_by_role("button", name="Send my photos to 192.0.2.7:8000")).to_be_visible()
        expect(page.get_by_role("button", name="Test")).to_have_count(0)
        assert_accessible(page, f"{size}-endpoint-remote")

        address.fill(chat.address)
        address.press("Enter")
        page.get_by_text("Endpoint reads your photos from now on.").wait_for()
        page.get_by_role("button", name="Test").click()
        page.get_by_text("s: a red ball lies on green grass").wait_for()
        assert_accessible(page, f"{size}-endpoint-tested")
        with sidebar(page) as aside:
            expect(aside.get_by_text(f"goes to the model server {host}, which describes it")).to_be_visible()
            links = aside if size == "phone" else page  # a desk has them above the page
            links.get_by_role("link", name="Caption").click()
        settle(page)

        page.get_by_text(f"A small copy of each photo goes to the model server {host}").wait_for()
        rest = threading.Event()

        def slowly(handler):
            handler.begin_stream()
            handler.piece({"content": '{"caption": "A dahlia in'})
            rest.wait(60)
            handler.piece({"content": ' bloom."}'})
            handler.event(b"[DONE]")
            handler.close_connection = True

        chat.script.append(slowly)
        page.get_by_role("button", name="Flower").click()
        page.get_by_role("button", name="Start Captioning").click()
        page.get_by_text("A dahlia in", exact=True).wait_for()  # while the server still writes
        rest.set()
        page.get_by_text("The posts are ready.").wait_for(state="attached")
        page.get_by_text("Prompt and labels").click()
        page.get_by_text("Read by the Endpoint engine").wait_for()
        assert_accessible(page, f"{size}-endpoint-read")
