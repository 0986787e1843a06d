"""A model server on this machine that speaks OpenAI's chat completions, well or badly."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

RECORD = {
    "caption": "A red ball lies on green grass.",
    "detailed": "A red ball lies on green grass. The sky above it is blue.",
    "prompt": "a red ball on green grass below a blue sky, flat illustration, bright daylight",
    "tags": ["ball", "grass", "sky"],
    "text": "",
    "alt": "Red ball on green grass below a blue sky.",
}
PLAIN = "A red ball lies on green grass."
NO_SCHEMAS = {"error": {"message": "response_format of type json_schema is not supported", "code": 400}}


class ChatServer:
    """What it answers, and what it was asked.

    Attributes
    ----------
    say : a request → the words of the answer
    script : behaviours for the next requests, each used once, before `say` is asked again
    models : their names
    structures : whether it takes a JSON schema
    asked, headers : the requests and their headers, in order
    """

    def __init__(self) -> None:
        self.say: Callable[[dict], str] = lambda body: (
            json.dumps(RECORD) if "response_format" in body else PLAIN
        )
        self.script: deque[Callable[[Handler], None]] = deque()
        self.models = ["seer-7b"]
        self.structures = True
        self.asked: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.pause = 0.0  # seconds before each answer
        self._now = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}/v1"

    @property
    def pictures(self) -> list[bytes]:
        """The pictures that were sent, as they came."""
        parts = [
            part
            for body in self.asked
            for message in body["messages"]
            for part in message["content"]
            if isinstance(part, dict) and part["type"] == "image_url"
        ]
        urls = [part["image_url"]["url"] for part in parts]
        assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
        return [base64.b64decode(url.partition(",")[2], validate=True) for url in urls]

    def start(self) -> None:
        """Listen, on the port that it had before."""
        chat = self

        class Bound(Handler):
            server_of = chat

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Bound)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    def encrypt(self, certificate: Path) -> None:
        """Speak TLS from now on, with the certificate and key in this file."""
        assert self._server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def stop(self) -> None:
        """Nothing answers any more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def begin(self, body: dict, headers: dict[str, str]) -> None:
        with self._lock:
            self.asked.append(body)
            self.headers.append(headers)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)

    def end(self) -> None:
        with self._lock:
            self._now -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: ChatServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        chat = self.server_of
        chat.headers.append(dict(self.headers))
        if self.path == "/v1/models":
            self.reply({"object": "list", "data": [{"id": name, "object": "model"} for name in chat.models]})
        else:
            self.reply({"error": {"message": "there is nothing here"}}, 404)

    def do_POST(self) -> None:
        chat = self.server_of
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self.reply({"error": {"message": "there is nothing here"}}, 404)
            return
        chat.begin(body, dict(self.headers))
        try:
            time.sleep(chat.pause)
            try:
                behave = chat.script.popleft()
            except IndexError:
                if "response_format" in body and not chat.structures:
                    self.reply(NO_SCHEMAS, 400)
                else:
                    self.stream(chat.say(body))
            else:
                behave(self)
        except (BrokenPipeError, ConnectionResetError):  # who asked has left
            self.close_connection = True
        finally:
            chat.end()

    def reply(self, record: Any, status: int = 200, **headers: str) -> None:
        data = record if isinstance(record, bytes) else json.dumps(record).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, text: str, size: int = 12, pause: float = 0.0, end: str = "stop") -> None:
        """The words in small pieces, as such servers send them."""
        self.begin_stream()
        for start in range(0, len(text), size):
            self.piece({"content": text[start : start + size]})
            time.sleep(pause)
        self.piece({}, end)
        self.event(b"[DONE]")
        self.close_connection = True

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

    def piece(self, delta: dict, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
        self.event(json.dumps(chunk).encode())

    def event(self, data: bytes) -> None:
        self.wfile.write(b"data: " + data + b"\n\n")
        self.wfile.flush()


Behaviour = Callable[[Handler], None]


def fails(status: int, message: str = "out of order", **headers: str) -> Behaviour:
    """An error, in the form that such servers give it."""
    return lambda handler: handler.reply({"error": {"message": message}}, status, **headers)


def says(text: str, **more: Any) -> Behaviour:
    """These words."""
    return lambda handler: handler.stream(text, **more)


def says_at_once(text: str) -> Behaviour:
    """These words, from a server that does not stream."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    record = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return lambda handler: handler.reply(record)


def breaks(text: str = "") -> Behaviour:
    """A few words, and then the line is cut."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        if text:
            handler.piece({"content": text})
        handler.close_connection = True

    return behave


def never_ends(handler: Handler) -> None:
    """Words, for as long as somebody listens."""
    handler.begin_stream()
    while True:
        handler.piece({"content": "word " * 10_000})


def drips(handler: Handler) -> None:
    """A word now and then, for ever."""
    handler.begin_stream()
    while True:
        handler.piece({"content": "word "})
        time.sleep(0.05)


def hangs(handler: Handler) -> None:
    """Nothing, for a while."""
    time.sleep(3)


@contextmanager
def serve() -> Iterator[ChatServer]:
    """A model server on this machine; `ChatServer.address` goes into the setting ``endpoint_url``."""
    chat = ChatServer()
    chat.start()
    try:
        yield chat
    finally:
        chat.stop()
