"""Find out whether a visitor sits at the machine that the app runs on; when in doubt, they do not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

import streamlit as st

# A name, an IPv4 address, or an IPv6 address in brackets; optionally a port.
_HOST = re.compile(r"(?:([a-z0-9.]+)|\[([0-9a-f:]+)\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
# Headers that proxies add and browsers never send: Forwarded, Via, X-Forwarded-For, X-Real-IP, CF-Connecting-IP…
_PROXY = re.compile(
    r"via|x-original-.*|.*(forward|proxy|proxied).*|.*(client|real|connecting|remote|user)-?(ip|addr).*"
    r"|(cf|cdn|fastly|fly|x-amzn|x-appengine|x-arr|x-azure|x-envoy)-.*",
    re.IGNORECASE,
)


def sits_here() -> bool:
    """Whether this visitor uses the machine that the app runs on, and so may see its files and history."""
    headers = st.context.headers
    pairs = [(name, value) for name in headers for value in headers.get_all(name)]
    return is_local(st.get_option("server.address"), st.context.ip_address, pairs)


def is_local(address: str | None, peer: str | None, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request can only have come from the machine that it arrived at.

    Parameters
    ----------
    address : the address that the server listens on; None for all
    peer : the address at the other end of the connection; Streamlit gives None for this machine
    headers : of the request, as (name, value)

    A local connection is not enough: another name may resolve to this machine (DNS rebinding),
    and a reverse proxy on it connects for visitors from anywhere. So the browser must have asked
    for this machine by name, from a page of the same origin, and no header may show a proxy.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value.lower())
    hosts, origins = values.get("host", []), values.get("origin", [])
    return (
        _is_loopback(address)
        and (peer is None or _is_loopback(peer))
        and len(hosts) == 1
        and _names_loopback(hosts[0])
        and all(origin in (f"http://{hosts[0]}", f"https://{hosts[0]}") for origin in origins)
        and not any(_PROXY.fullmatch(name) for name in values)
    )


def _names_loopback(host: str) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and _is_loopback(match[1] or match[2])


def _is_loopback(address: str | None) -> bool:
    """Whether an address is localhost, in 127.0.0.0/8 or ::1; other spellings (127.1, 2130706433) are not."""
    if not isinstance(address, str):
        return False
    if address.lower() == "localhost":
        return True
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return ip in ip_network("127.0.0.0/8") or ip == IPv6Address("::1")
