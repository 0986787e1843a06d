"""The connection to a model server: sends what must be sent, where it is meant to go, and bounds what comes back."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

from img2prompt.engines.endpoint.address import Address, has_no_server, plain_ip
from img2prompt.errors import AnswerError, ConfigError, EndpointError

MOST_BYTES = 8 * 2**20  # of an answer, with what is around its words
SENT = ("accept", "authorization", "connection", "content-length", "content-type", "host")  # headers


class Guard(httpx2.BaseTransport):
    """A transport for `httpx2.Client`.

    Parameters
    ----------
    seconds : that an answer may take; a server that says nothing for so long meanwhile may take twice as long
    has_key : without one, no header says that there might be

    Raises
    ------
    ConfigError
        When this machine's variables name a proxy that cannot be used.
    """

    def __init__(self, address: Address, seconds: float, has_key: bool):
        self._address, self._seconds, self._has_key = address, seconds, has_key
        proxied = None if address.is_here else _through_proxy(address)
        self._is_direct = proxied is None
        self._inner = proxied or httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in list(request.headers):
            # The client's own tell the system, its release and its language's; a compressed answer has no size.
            if name.lower() not in SENT or (name.lower() == "authorization" and not self._has_key):
                del request.headers[name]
        request.headers["Accept-Encoding"] = "identity"
        request.headers["User-Agent"] = "img2prompt"
        if self._is_direct:
            request.extensions = {**request.extensions, "trace": self._check_peer}
        end = time.monotonic() + self._seconds
        response = self._inner.handle_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise AnswerError(f"{self._address.host} sends a compressed answer, which was not asked for.")
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream, end, self._address.host),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._inner.close()

    def _check_peer(self, event: str, info: Mapping[str, Any]) -> None:
        """Before anything is sent: a name leads to no place where a literal address would be refused."""
        if event == "connection.connect_tcp.complete":
            peer = plain_ip(str(info["return_value"].get_extra_info("server_addr")[0]))
            if (self._address.is_here and not peer.is_loopback) or has_no_server(peer):
                raise EndpointError(
                    f"{self._address.host} leads to {peer}, where no model server is. Correct endpoint_url."
                )


class _Bounded(httpx2.SyncByteStream):
    """A stream that ends with an error when it is too long, or takes too long."""

    def __init__(self, stream: Any, end: float, host: str):
        self._stream, self._end, self._host = stream, end, host

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size += len(part)
            if size > MOST_BYTES:
                raise AnswerError(
                    f"{self._host} answers more than {MOST_BYTES // 2**20} MB, which no caption takes."
                )
            if time.monotonic() > self._end:
                raise httpx2.ReadTimeout("too slow")
            yield part

    def close(self) -> None:
        self._stream.close()


def _through_proxy(address: Address) -> httpx2.HTTPTransport | None:
    """The way through the proxy that this machine's variables name for an address beyond it; None without one."""
    scheme = address.url.partition(":")[0]
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or urllib.request.proxy_bypass(address.host):
        return None
    try:
        parts = urlsplit(proxy)
        if not parts.hostname or parts.port == 0:
            raise ValueError
        return httpx2.HTTPTransport(proxy=proxy)
    except (ValueError, ImportError, httpx2.InvalidURL):  # whose words may repeat a password
        raise ConfigError(
            f"{scheme.upper()}_PROXY names no proxy that can be used. Write it like http://HOST:PORT; for SOCKS, "
            "install socksio."
        ) from None
