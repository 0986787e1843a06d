"""What a browser is shown that reaches the app on this machine under another name, and what under its own."""

import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from img2prompt.batch.runs import Runs
from img2prompt.history import History, open_database
from tests.helpers.browser import MEGABYTE, PATIENCE, launch, settle
from tests.helpers.history_database import make_post
from tests.helpers.pictures import small_photos

ELSEWHERE = "captions.example.org"
PLACES = ("Files or ZIP", "A folder", "On this machine")


@pytest.fixture(scope="module")
def port(home) -> Iterator[int]:
    """Where an app listens that has a batch of somebody's, and a history of its own."""
    photo = small_photos()[0]
    runs = Runs(home.runs)
    run = runs.add([(f"trip/{photo['name']}", BytesIO(photo["buffer"]))])
    run.close()
    engine = open_database(home.database)
    History(engine, "local").save(make_post(0))
    engine.dispose()
    yield urlsplit(home.address).port
    runs.remove(run.id)  # the next time that these tests begin there must be one again


@pytest.fixture(scope="module")
def visitor(playwright) -> Iterator[Browser]:
    """A browser that finds the foreign name on this machine."""
    with launch(playwright, f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1") as browser:
        yield browser


@contextmanager
def visit(visitor: Browser, address: str) -> Iterator[Page]:
    with visitor.new_context(locale="en-US") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        yield page


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


def assert_shows_all(visitor: Browser, address: str) -> None:
    """The folders of the machine, the batches of others and the history."""
    with visit(visitor, f"{address}/batch") as page:
        page.get_by_role("button", name="trip").first.wait_for()
        assert page.locator(".st-key-batch-from").get_by_role("radio").all_inner_texts() == list(PLACES)
        page.get_by_role("radio", name=PLACES[-1]).click()
        page.get_by_role("textbox", name="Folder on the machine").wait_for()
        page.goto(f"{address}/history")
        page.locator(".st-key-history-grid img").first.wait_for()
        page.goto(f"{address}/dashboard")
        page.get_by_test_id("stMetricValue").first.wait_for()


def assert_shows_nothing(visitor: Browser, address: str) -> None:
    """No folders of the machine, no batches of others and no history."""
    with visit(visitor, f"{address}/batch") as page:
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


def test_under_its_own_name(port, visitor):
    assert_shows_all(visitor, f"http://localhost:{port}")


def test_under_another_name(port, visitor):
    assert_shows_nothing(visitor, f"http://{ELSEWHERE}:{port}")


def test_behind_a_proxy_on_this_machine(port, visitor):
    with proxy(port, b"X-Real-IP: 192.0.2.1") as other:
        assert_shows_nothing(visitor, f"http://127.0.0.1:{other}")
    with proxy(port, b"Accept-Language: en") as other:  # it was the header that gave the proxy away
        assert_shows_all(visitor, f"http://127.0.0.1:{other}")
