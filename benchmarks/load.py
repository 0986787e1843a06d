"""What many visitors at a time do to a server, as JSON on stdout. Run it on a quiet machine.

    python -m benchmarks.load [--visitors 10] [--captions 100]     (Linux and macOS)

Starts the app here and sends visitors who speak Streamlit's protocol as its page in a browser does:
protobuf messages through a WebSocket, photos by HTTP. Each comes with a photo of its own, presses
*Start Captioning*, waits for the words, shuffles the posts twice and closes the page; then another one
comes instead, until there were as many captions as asked for, or the time is up. Memory is the
server's resident set: before anybody came, when the model was loaded, after the first hundred captions,
after the last, and when Streamlit has forgotten the sessions, which it does at the first visit two
minutes later.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psutil
from PIL import Image
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.lite import SAMPLES, machine
from img2prompt.web.shared.i18n import catalogue
from tests.helpers.server import serve

PATIENCE = 600  # seconds that a visitor waits for an answer
SIZE = (1600, 1200)  # pixels of a photo
SHARE = (
    0.8  # of a sample's sides; less, magnified, would look as if a machine had made it, which takes longer
)
FIRST = 100  # captions after which memory is noted
SHUFFLES = 2
XSRF = "_streamlit_xsrf"  # the cookie whose content has to come back as a header with each upload


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--visitors", type=int, default=10, help="at a time (10)")
    parser.add_argument("--captions", type=int, default=100, help="in all (100)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which nobody new comes")
    parser.add_argument(
        "--settle", type=float, default=150, help="seconds from the last visit to the end (150)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        load = Load(server.address, psutil.Process(server.process.pid))
        asyncio.run(load.run(options.visitors, options.captions, options.seconds, options.settle))
    print(json.dumps({**load.report(), "machine": machine()}, indent=2))


@dataclass
class Load:
    """Visitors come and go, and what is measured meanwhile."""

    address: str
    process: psutil.Process
    words: list[float] = field(default_factory=list)  # seconds from the press to the caption
    shuffles: list[float] = field(default_factory=list)  # seconds from the press to all posts
    errors: Counter[str] = field(default_factory=Counter)
    server: dict[str, dict[str, float]] = field(default_factory=dict)  # when → what it takes
    visitors: int = 0  # at a time
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    own_cpu_seconds: float = 0.0  # of the visitors, who take theirs from the same cores

    async def run(
        self, visitors: int, captions: int, seconds: float = float("inf"), settle: float = 0
    ) -> None:
        """Let some visitors at a time ask for captions; wait a while when all have gone."""
        self.visitors = visitors
        self._note("start")
        await self._visit(0)  # who waits for the model to load
        self.words.clear()
        self.shuffles.clear()
        self._note("loaded")
        began, cpu, own = time.monotonic(), self._cpu(), time.process_time()
        numbers = itertools.count(1)
        await asyncio.gather(*(self._come(numbers, captions, began + seconds) for _ in range(visitors)))
        self.seconds, self.cpu_seconds = time.monotonic() - began, self._cpu() - cpu
        self.own_cpu_seconds = time.process_time() - own
        self._note("end")
        await asyncio.sleep(settle)
        async with visit(self.address):  # whose session makes Streamlit look through the others
            pass
        await asyncio.sleep(1)
        self._note("settled")

    async def _come(self, numbers: itertools.count[int], captions: int, end: float) -> None:
        while (number := next(numbers)) <= captions and time.monotonic() < end:
            await self._visit(number)
            if number == FIRST:
                self._note(f"after_{FIRST}")

    async def _visit(self, number: int) -> None:
        try:
            async with visit(self.address) as visitor:
                await visitor.upload(f"{number}.jpg", await asyncio.to_thread(photo, number))
                self.words.append(await visitor.press("start", "-copy-caption-1"))
                for _ in range(SHUFFLES):
                    self.shuffles.append(await visitor.press("shuffle", "-copy-alt-1"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and it counts
            self.errors[f"{type(error).__name__}: {error}"] += 1

    def _note(self, moment: str) -> None:
        with self.process.oneshot():
            self.server[moment] = {
                "mb": round(self.process.memory_info().rss / 1e6),
                "threads": self.process.num_threads(),
                "files": self.process.num_fds(),
            }

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def report(self) -> dict[str, Any]:
        return {
            "visitors": self.visitors,
            "captions": len(self.words),
            "errors": dict(self.errors),
            "words_s": quantiles(self.words),
            "shuffle_s": quantiles(self.shuffles),
            "seconds": round(self.seconds, 1),
            "captions_per_s": round(len(self.words) / self.seconds, 2),
            "cpu_s_per_caption": round(self.cpu_seconds / max(1, len(self.words)), 2),
            "visitors_cpu_s_per_caption": round(self.own_cpu_seconds / max(1, len(self.words)), 2),
            "cores_used": round(self.cpu_seconds / self.seconds, 2),
            "server": self.server,
        }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2), "most": round(max(seconds), 2)}


def photo(number: int) -> bytes:
    """The greater part of a real photo, another one for each number, as JPEG."""
    chooser = Random(number)
    whole = Image.open(SAMPLES[number % len(SAMPLES)])
    width, height = (round(side * SHARE) for side in whole.size)
    left, top = chooser.randrange(whole.width - width), chooser.randrange(whole.height - height)
    part = whole.crop((left, top, left + width, top + height))
    buffer = io.BytesIO()
    part.resize(SIZE).save(buffer, "JPEG")
    return buffer.getvalue()


@asynccontextmanager
async def visit(address: str) -> AsyncIterator[Visitor]:
    """Somebody who has opened the page, and closes it in the end."""
    # No connection is used twice: the server closes those that have nothing to say for five seconds.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=limits) as http:
        (await http.get("/_stcore/health")).raise_for_status()  # brings the cookie
        async with connect(
            f"{address.replace('http', 'ws', 1)}/_stcore/stream",
            origin=address,
            subprotocols=["streamlit", http.cookies[XSRF]],
            additional_headers={"Cookie": f"{XSRF}={http.cookies[XSRF]}"},
            max_size=None,
            open_timeout=PATIENCE,
        ) as socket:
            visitor = Visitor(http, socket)
            await visitor.ask()
            yield visitor


class Visitor:
    """The page in a browser, as far as the server can tell.

    Raises RuntimeError where the page shows an error or lacks what is asked for, and TimeoutError.
    """

    def __init__(self, http: httpx.AsyncClient, socket: ClientConnection):
        self.http, self.socket = http, socket
        self.session = self.page = ""
        self.elements: dict[tuple[int, ...], Delta] = {}  # place on the page → what is there
        self.widgets: dict[str, WidgetState] = {}
        self.arrived: dict[str, float] = {}  # id of a widget → when the server last sent it

    async def ask(self, pressed: str = "", fragment: str = "") -> None:
        """Run the page with the widgets as they are, until it is complete; `pressed` is a button's id."""
        message = BackMsg()
        state = message.rerun_script
        state.page_script_hash, state.fragment_id = self.page, fragment
        state.widget_states.widgets.extend(self.widgets.values())
        if pressed:
            state.widget_states.widgets.append(WidgetState(id=pressed, trigger_value=True))
        await self.socket.send(message.SerializeToString())
        while not ended(answer := await self._next()):
            self._take(answer)
        if answer.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            raise RuntimeError("the script of the page does not compile")
        for delta in self.elements.values():
            element = delta.new_element
            if element.WhichOneof("type") == "exception" or element.alert.format == Alert.ERROR:
                raise RuntimeError(f"the page says: {element.exception.message}{element.alert.body}")

    async def press(self, label: str, wanted: str) -> float:
        """Press the button of this text in the locales; seconds until the widget whose id ends so arrives."""
        text = catalogue("en")[label]
        button = self._find(f"button {text!r}", lambda element: element.button.label == text)
        pressed = time.monotonic()
        await self.ask(button.new_element.button.id, button.fragment_id)
        times = [at for name, at in self.arrived.items() if name.endswith(wanted) and at > pressed]
        if not times:
            raise RuntimeError(f"the answer to {text!r} has no …{wanted}")
        return max(times) - pressed

    async def upload(self, name: str, data: bytes) -> None:
        """Put a file into the uploader."""
        uploader = self._find("uploader", lambda element: element.HasField("file_uploader"))
        request = BackMsg()
        request.file_urls_request.request_id, request.file_urls_request.session_id = name, self.session
        request.file_urls_request.file_names.append(name)
        await self.socket.send(request.SerializeToString())
        while (answer := await self._next()).WhichOneof("type") != "file_urls_response":
            self._take(answer)
        urls: FileURLs = answer.file_urls_response.file_urls[0]
        sent = await self.http.put(
            urls.upload_url, files={"file": (name, data)}, headers={"X-Xsrftoken": self.http.cookies[XSRF]}
        )
        sent.raise_for_status()
        widget = WidgetState(id=uploader.new_element.file_uploader.id)
        widget.file_uploader_state_value.uploaded_file_info.add(
            file_id=urls.file_id, name=name, size=len(data), file_urls=urls
        )
        self.widgets[widget.id] = widget
        await self.ask()

    async def _next(self) -> ForwardMsg:
        return ForwardMsg.FromString(await asyncio.wait_for(self.socket.recv(), PATIENCE))

    def _take(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "new_session":
                self.session = message.new_session.initialize.session_id
                self.page = message.new_session.page_script_hash
                if not message.metadata.run.fragment_ids:
                    self.elements.clear()
            case "delta":
                self.elements[tuple(message.metadata.delta_path)] = message.delta
                self.arrived[message.delta.new_element.bidi_component.id] = time.monotonic()

    def _find(self, what: str, is_it: Callable[[Element], bool]) -> Delta:
        for delta in self.elements.values():
            if is_it(delta.new_element):
                return delta
        raise RuntimeError(f"the page has no {what}")


def ended(message: ForwardMsg) -> bool:
    """Whether a run has ended that no other one follows at once."""
    early = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
    return message.HasField("script_finished") and not early


if __name__ == "__main__":
    main()
