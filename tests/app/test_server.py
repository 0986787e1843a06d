"""A real server, and visitors who wish it ill."""

import json
import socketserver
import time
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from threading import Thread

import pytest
from itsdangerous import URLSafeTimedSerializer
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from img2prompt.batch.runs import Runs
from img2prompt.history import History, open_database
from tests.helpers.batches import crop
from tests.helpers.history_database import make_post
from tests.helpers.protocol import visit
from tests.helpers.server import Server, serve

pytestmark = pytest.mark.slow
COOKIE = "_streamlit_user"
ISSUER = "https://login.example.org"
SECRETS = '[auth]\nredirect_uri = "http://localhost/oauth2callback"\ncookie_secret = "{secret}"\n'
SECRET = "8OTtNLV5Vr0mmOFVOkwxJlLaUZL1P1sJ"


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy to everywhere else: its address, and what it was asked for. It answers nothing."""
    asked: list[bytes] = []

    class Listener(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Listener) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}", asked
        proxy.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory, outside) -> Iterator[Server]:
    """An app that others reach too."""
    proxies = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], outside[0])
    folder = tmp_path_factory.mktemp("server")
    with serve(folder, STREAMLIT_SERVER_ADDRESS="0.0.0.0", no_proxy="", NO_PROXY="", **proxies) as server:
        yield server


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://[", "http://localhost:1"])
def test_a_foreign_page_is_refused_and_nobody_is_asked_about_it(server, outside, origin):
    stream = f"{server.address.replace('http', 'ws', 1)}/_stcore/stream"
    with connect(stream, origin=server.address):
        pass
    with pytest.raises(InvalidStatus, match="403"):
        connect(stream, origin=origin)
    assert outside[1] == [], "the server asked another machine"


def test_answers_say_that_nothing_foreign_belongs_to_the_page(server):
    for path in ("/", "/batch", "/_stcore/health", "/nowhere"):
        with urllib.request.urlopen(f"{server.address}{path}") as answer:
            rules = answer.headers["Content-Security-Policy"].split("; ")
            assert {"frame-ancestors 'self'", "img-src 'self' data: blob:"} <= set(rules)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_large_message_is_sent_again_and_not_its_hash(server):
    """Streamlit keeps hashes where it drops the message before, and the browser then shows an empty page."""
    with visit(server.address) as visitor:
        for _ in range(2):
            message = BackMsg()
            message.rerun_script.cached_message_hashes.extend(known.hash for known in visitor.messages)
            visitor.ask(message)
            large = [known for known in visitor.messages if known.ByteSize() > 10_000]
            assert large and all(known.HasField("delta") for known in large)
            assert not any(known.HasField("ref_hash") for known in visitor.messages)


def test_a_batch_goes_on_and_can_be_stopped_when_a_stranger_clears_the_caches(server):
    files = [(f"trip/{number}.jpg", BytesIO(crop(number))) for number in range(100)]
    run = Runs(server.runs).add(files)
    run.close()
    with visit(server.address) as visitor, visit(server.address) as stranger:
        visitor.open("batch", run=run.id)
        visitor.open("batch", press="Go on", run=run.id)
        stranger.open("")
        stranger.send(BackMsg(clear_cache=True))
        stranger.open("")  # after it
        visitor.open("batch", run=run.id)
        assert "Stop" in visitor.buttons()
        visitor.open("batch", press="Stop", run=run.id)
        while "Go on" not in visitor.buttons():
            time.sleep(0.3)  # what runs the page all the time leaves the batch no processor
            shown = visitor.open("batch", run=run.id)
        assert "**100 of 100**" not in shown


def signed_in(secret: str, server: Server) -> dict[str, str]:
    """The cookie of somebody who signed in as Ada, or who knows the secret."""
    person = {"origin": server.address, "is_logged_in": True, "iss": ISSUER, "sub": "ada"}
    return {COOKIE: URLSafeTimedSerializer(secret, salt=COOKIE).dumps(json.dumps(person))}


@pytest.mark.parametrize("secret", ["", "x" * 31, SECRET])
def test_a_cookie_counts_only_if_its_signature_cannot_be_guessed(tmp_path, secret, capfd):
    file = tmp_path / "secrets.toml"
    file.write_text(SECRETS.format(secret=secret))
    with serve(tmp_path, STREAMLIT_SECRETS_FILES=str(file)) as server:
        engine = open_database(server.database)
        History(engine, f"{ISSUER}|ada").save(make_post(0))
        engine.dispose()
        with visit(server.address, signed_in(secret, server)) as visitor:
            shown = {page: visitor.open(page) for page in ("history", "dashboard", "")}
        said = capfd.readouterr().err
    believed = len(secret) >= 32
    assert ("brown dog" in shown["history"].lower()) == believed
    assert ("oil painting" in shown["dashboard"]) == believed
    for page in shown.values():
        assert ("fewer than 32 characters" in page) != believed
    assert ("fewer than 32 characters" in said) != believed


def test_a_forged_cookie_does_not_count_later_either(tmp_path):
    """Somebody connects while the secret is empty, and asks when it no longer is."""
    file = tmp_path / "secrets.toml"
    file.write_text(SECRETS.format(secret=""))
    with serve(tmp_path, STREAMLIT_SECRETS_FILES=str(file)) as server:
        engine = open_database(server.database)
        History(engine, f"{ISSUER}|ada").save(make_post(0))
        engine.dispose()
        with visit(server.address, signed_in("", server)) as visitor:
            file.write_text(SECRETS.format(secret=SECRET))
            while "fewer than 32 characters" in (shown := visitor.open("history")):
                time.sleep(0.3)
    assert "Sign in to keep a history" in shown and "brown dog" not in shown.lower()
