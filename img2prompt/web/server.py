"""What the server does before Streamlit sees a request, and when it starts."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from img2prompt.errors import ConfigError
from img2prompt.web.shared import identity

logger = logging.getLogger(__name__)

# What a browser holds a page to, even where some text on it were read as markup: nothing is loaded from
# elsewhere, and no other site shows the app inside its own page, to have its visitors press a button here.
HEADERS = {
    "Content-Security-Policy": "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'self'; frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
REFUSED = 1008  # WebSocket's "policy violation"


class Guard:
    """ASGI middleware: no foreign page talks to the app, and no forged cookie is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            if is_foreign(headers.get("origin"), headers.get("host")):
                logger.warning(
                    "Refused a page of %.200r that talks to %.200r: a proxy must pass Host on",
                    headers["origin"],
                    headers.get("host"),
                )
                await receive()
                await send({"type": "websocket.close", "code": REFUSED})
                return
            if _sign_in_problem():
                scope["headers"] = [header for header in scope["headers"] if header[0] != b"cookie"]
        await self.app(scope, receive, send_with_headers)


def is_foreign(origin: str | None, host: str | None) -> bool:
    """Whether a page of another site opens this connection.

    Streamlit would refuse it too, but first asks a server elsewhere for this machine's address, and answers
    nobody meanwhile. Only ``server.enableCORS = false`` lets foreign pages in.
    """
    if origin is None or not st.get_option("server.enableCORS"):
        return False
    try:
        return urlsplit(origin).netloc != host
    except ValueError:
        return True


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Say in the log, when the server starts, why nobody can sign in."""
    if problem := _sign_in_problem():
        logger.error(problem)
    yield


def _sign_in_problem() -> str:
    try:
        identity.has_sign_in()
    except ConfigError as error:
        return str(error)
    return ""
