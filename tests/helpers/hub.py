"""A hub on this machine that gives out small models."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

# A CLIP of a few layers whose words alone are 12.6 MB, as a line breaks no earlier than after 10 MiB.
CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
}
BLIP_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
BLIP_VISION |= {"image_size": 32, "patch_size": 16}
BLIP_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


class Hub:
    """Repositories, and what was asked of them.

    `cut` is the number of bytes of a weights file after which the line breaks for good, and
    `spoilt` the files that arrive with a wrong byte. `sizes` are announced for real ones; of `unhashed`
    files no hash is told.
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
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

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
            if start >= len(content) > 0:
                self.answer(b"", 416)
                return
            if start:
                headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(content[start:], 206 if start else 200, **headers)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
