"""A visitor without a browser, who speaks Streamlit's WebSocket protocol."""

import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

PATIENCE = 120  # seconds
XSRF = "_streamlit_xsrf"


class Visitor:
    """One open page."""

    def __init__(self, connection: ClientConnection):
        self.connection = connection
        self.messages: list[ForwardMsg] = []  # of the last run

    def open(self, page: str, press: str = "", **query: str) -> str:
        """Run a page, with a button pressed that its last run showed; returns all that came, as text."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = urlencode(query)
        if press:
            message.rerun_script.widget_states.widgets.add(id=self.buttons()[press], trigger_value=True)
        return self.ask(message)

    def ask(self, message: BackMsg) -> str:
        """Send what a browser sends to have a page run; returns all that came, as text."""
        self.send(message)
        self.messages = []
        while not self._has_all():
            data = self.connection.recv(PATIENCE)
            assert isinstance(data, bytes)
            self.messages.append(ForwardMsg.FromString(data))
        return "\n".join(map(str, self.messages))

    def _has_all(self) -> bool:
        """Whether the run has ended, and was not one that another run follows at once."""
        last = self.messages[-1] if self.messages else ForwardMsg()
        ended = last.WhichOneof("type") == "script_finished"
        return ended and last.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN

    def buttons(self) -> dict[str, str]:
        """Label → id of the buttons that the last run showed."""
        shown = [message.delta.new_element.button for message in self.messages]
        return {button.label: button.id for button in shown if button.id}

    def send(self, message: BackMsg) -> None:
        """Send what a browser may send."""
        self.connection.send(message.SerializeToString())


@contextmanager
def visit(address: str, cookies: Mapping[str, str] | None = None) -> Iterator[Visitor]:
    """Connect to an app as its own page does."""
    with urllib.request.urlopen(f"{address}/_stcore/health") as answer:
        token = SimpleCookie(answer.headers["Set-Cookie"] or "")[XSRF].value
    cookies = {XSRF: token, **(cookies or {})}
    with connect(
        f"{address.replace('http', 'ws', 1)}/_stcore/stream",
        origin=address,
        subprotocols=["streamlit", token],
        additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
        max_size=None,
        open_timeout=PATIENCE,
    ) as connection:
        yield Visitor(connection)
