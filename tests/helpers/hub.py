"""A hub on this machine that gives out small models."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from safetensors.numpy import save_file

from img2prompt.weights import fetch

# A CLIP of a few layers whose words alone are 12.6 MB, as a line breaks no earlier than after 10 MiB.
CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}
BLIP_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
BLIP_VISION |= {"image_size": 32, "patch_size": 16}
BLIP_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}

COMMIT = "0123456789abcdef" * 2 + "01234567"
BLOCK = 1 << 16  # bytes of a weights file that are sent at a time


class Hub:
    """Repositories, and what was asked of them.

    `cut` is the number of bytes of a weights file after which the line breaks for good, and
    `spoilt` the files that arrive with a wrong byte. `sizes` are announced for real ones; of `unhashed`
    files no hash is told. Of a weights file, the line breaks once at each of the bytes in `breaks`, the
    next `busy` answers are that the hub is busy, and no more than `most` bytes are sent until `let_go`.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, tuple[str, dict[str, bytes]]] = {}
        self.cut: int | None = None
        self.spoilt: set[str] = set()
        self.sizes: dict[str, int | None] = {}
        self.unhashed: set[str] = set()
        self.ranges: list[str] = []  # of the weights files that were asked for
        self.asked: list[str] = []
        self.address = ""
        self.breaks: list[int] = []
        self.busy = 0
        self.most: int | None = None
        self._changed = threading.Condition()

    def let_go(self) -> None:
        """Send what was held back."""
        with self._changed:
            self.most = None
            self._changed.notify_all()

    def sendable(self, start: int, end: int) -> int:
        """Wait until bytes from `start` on may be sent; up to which, at most `end`."""
        with self._changed:
            self._changed.wait_for(lambda: self.most is None or self.most > start)
            return end if self.most is None else min(end, self.most)

    def add(self, repository: str, commit: str, folder: Path) -> None:
        self.repositories[repository] = commit, {file.name: file.read_bytes() for file in folder.iterdir()}

    def describe(self, repository: str) -> dict:
        """What ``/api/models/…?blobs=true`` answers."""
        commit, files = self.repositories[repository]
        siblings = []
        for name, content in files.items():
            size = self.sizes.get(name, len(content))
            row = {"rfilename": name, "size": size, "blobId": git_hash(content)}
            if name.endswith((".safetensors", ".bin")):
                digest = hashlib.sha256(content).hexdigest()
                row["lfs"] = {"size": size, "sha256": digest, "pointerSize": 134}
            if name in self.unhashed:
                del row["blobId"]
            siblings.append(row)
        return {"id": repository, "sha": commit, "siblings": siblings}


def git_hash(content: bytes) -> str:
    """The name that Git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub on this machine; `Hub.address` goes into ``HF_ENDPOINT``."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(path)
            if api := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
                if api[1] in hub.repositories:
                    self.answer(json.dumps(hub.describe(api[1])).encode())
                    return
            elif file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/([^/]+)", path):
                commit, files = hub.repositories.get(file[1], ("", {}))
                if file[2] == commit and file[3] in files:
                    self.answer_file(file[3], files[file[3]], commit)
                    return
            self.answer(b"{}", 404)

        def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.start_answer(len(body), status, **headers)
            if self.command == "GET":
                self.wfile.write(body)

        def start_answer(self, length: int, status: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def answer_file(self, name: str, content: bytes, commit: str) -> None:
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": commit}
            if name in hub.spoilt:
                content = content[:-1] + bytes([content[-1] ^ 1])
            start = int((re.search(r"\d+", self.headers.get("Range", "")) or ["0"])[0])
            if self.command == "GET" and name.endswith(".safetensors"):
                hub.ranges.append(self.headers.get("Range", ""))
                if hub.cut is not None and hub.cut < len(content):
                    if start:
                        self.answer(b"", 503)
                        return
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: hub.cut])
                    self.wfile.flush()
                    self.connection.close()
                    return
                if hub.busy:
                    hub.busy -= 1
                    self.answer(b"", 503)
                    return
            if start >= len(content) > 0:
                self.answer(b"", 416)
                return
            if start:
                headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if not (self.command == "GET" and name.endswith(".safetensors")):
                self.answer(content[start:], 206 if start else 200, **headers)
                return
            self.start_answer(len(content) - start, 206 if start else 200, **headers)
            with suppress(ConnectionError):  # whoever asked has heard enough
                while start < len(content):
                    end = min([byte for byte in hub.breaks if byte > start], default=len(content))
                    stop = hub.sendable(start, min(end, start + BLOCK))
                    self.wfile.write(content[start:stop])
                    start = stop
                    if start in hub.breaks:
                        hub.breaks.remove(start)
                        self.wfile.flush()
                        self.connection.close()
                        return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.let_go()
        server.shutdown()
        server.server_close()


def use(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process fetch from the hub, without patience, into ``models`` in a folder."""
    import huggingface_hub.constants  # reads the environment, which conftest.py changes first

    monkeypatch.setenv("IMG2PROMPT_MODELS", str(folder / "models"))
    # What HF_ENDPOINT and HF_HUB_CACHE set when huggingface_hub is imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
    template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(fetch, "WAITS", (0, 0))


def save_captioner(folder: Path, megabytes: int = 4) -> Path:
    """A caption model that says nothing: all files that one has, with weights of this size."""
    folder.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    numbers = np.random.default_rng(0).integers(0, 256, megabytes * 1_000_000, np.uint8)
    save_file({"numbers": numbers}, folder / "model.safetensors")
    return folder
