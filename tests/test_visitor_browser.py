"""What a browser is shown that reaches the app on this machine under another name, and what under its own."""

import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from history_database import make_post
from playwright.sync_api import Page, expect, sync_playwright
from test_browser import CHROMIUM, MEGABYTE, PATIENCE, pytestmark, serve, small_photos  # noqa: F401

from img2prompt.batch.runs import Runs
from img2prompt.history import History, open_database

ELSEWHERE = "captions.example.org"
PLACES = ("Files or ZIP", "A folder", "On this machine")


@pytest.fixture(scope="module")
def port(tmp_path_factory) -> Iterator[int]:
    """Where an app listens that has a batch of somebody's, and a history of its own."""
    folder: Path = tmp_path_factory.mktemp("visitor")
    photo = small_photos()[0]
    Runs(folder / "runs").add([(f"trip/{photo['name']}", BytesIO(photo["buffer"]))]).close()
    url = f"sqlite:///{folder / 'history.db'}"
    History(open_database(url), "local").save(make_post(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2PROMPT_DATABASE_URL", url)
        patch.delenv("IMG2PROMPT_HISTORY", raising=False)
        patch.delenv("IMG2PROMPT_SERVER_FOLDERS", raising=False)
        with serve(folder / "runs") as address:
            yield urlsplit(address).port


@contextmanager
def visit(address: str) -> Iterator[Page]:
    """A page in a new browser that finds the foreign name on this machine."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"],
        )
        page = chromium.new_page(locale="en-US")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        yield page
        chromium.close()


def settle(page: Page) -> None:
    page.locator("h1").wait_for()
    page.locator(".stApp[data-test-script-state=notRunning]").wait_for()


@contextmanager
def proxy(port: int, header: bytes) -> Iterator[int]:
    """The port of a proxy before the app that adds a header to the first request of each connection."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("localhost", port)) as app:
                app.sendall(self.request.recv(MEGABYTE).replace(b"\r\n", b"\r\n" + header + b"\r\n", 1))
                Thread(target=self.copy, args=(self.request, app), daemon=True).start()
                self.copy(app, self.request)

        @staticmethod
        def copy(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):  # either end may hang up
                while data := source.recv(MEGABYTE):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def assert_shows_all(address: str) -> None:
    """The folders of the machine, the batches of others and the history."""
    with visit(f"{address}/batch") as page:
        page.get_by_role("button", name="trip").wait_for()
        assert page.locator(".st-key-batch-from").get_by_role("radio").all_inner_texts() == list(PLACES)
        page.get_by_role("radio", name=PLACES[-1]).click()
        page.get_by_role("textbox", name="Folder on the machine").wait_for()
        page.goto(f"{address}/history")
        page.locator(".st-key-history-grid img").first.wait_for()
        page.goto(f"{address}/dashboard")
        page.get_by_test_id("stMetricValue").first.wait_for()


def assert_shows_nothing(address: str) -> None:
    """No folders of the machine, no batches of others and no history."""
    with visit(f"{address}/batch") as page:
        page.get_by_role("radio", name=PLACES[0]).wait_for()
        settle(page)
        assert page.locator(".st-key-batch-from").get_by_role("radio").all_inner_texts() == list(PLACES[:2])
        expect(page.get_by_role("textbox", name="Folder on the machine")).to_have_count(0)
        expect(page.get_by_role("button", name="trip")).to_have_count(0)
        for view in ("history", "dashboard"):
            page.goto(f"{address}/{view}")
            page.get_by_text("There is no history on this server").wait_for()
            settle(page)
            expect(page.locator(".st-key-history-grid")).to_have_count(0)
            expect(page.get_by_test_id("stMetricValue")).to_have_count(0)
            expect(page.get_by_text("Keep a history")).to_have_count(0)


def test_under_its_own_name(port):
    assert_shows_all(f"http://localhost:{port}")


def test_under_another_name(port):
    assert_shows_nothing(f"http://{ELSEWHERE}:{port}")


def test_behind_a_proxy_on_this_machine(port):
    with proxy(port, b"X-Real-IP: 192.0.2.1") as other:
        assert_shows_nothing(f"http://127.0.0.1:{other}")
    with proxy(port, b"Accept-Language: en") as other:  # it was the header that gave the proxy away
        assert_shows_all(f"http://127.0.0.1:{other}")
