"""Which addresses a picture may be sent to."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from img2prompt.errors import ConfigError

EXAMPLE = "http://localhost:11434/v1"
# Link-local addresses answer cloud machines with their own secrets, and so do these: Amazon's and Google's of IPv6,
# Alibaba's and Oracle's.
METADATA = tuple(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # a name or an IPv4 address, or an IPv6 address


@dataclass(frozen=True)
class Address:
    """Where a model server listens."""

    url: str  # without a final slash
    host: str  # name, and port where one is named, to be shown
    is_here: bool  # on this machine
    is_private: bool  # nobody on the way can read what is sent


def parse(url: str) -> Address:
    """Read the address of a server.

    No name is looked up: one that happens to lead to this machine counts as another machine's.

    Raises
    ------
    ConfigError
        When it is none, or no model server can be there.
    """
    if not url.strip():
        raise ConfigError(
            f'The endpoint engine needs an address. Set endpoint_url, for example to "{EXAMPLE}".'
        )
    try:
        parts = urlsplit(url.strip())
        name, port = parts.hostname or "", parts.port
    except ValueError:
        name, parts = "", urlsplit("")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "endpoint_url holds a name or password. Leave it out, and put the key into IMG2PROMPT_ENDPOINT_KEY."
        )
    # Anything else would be shown and kept with the address, and may be a secret too.
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(name) or parts.query or parts.fragment:
        raise ConfigError(f'endpoint_url is no address of a model server. Write it like "{EXAMPLE}".')
    ip = _ip(name)
    if ip and has_no_server(ip):
        raise ConfigError(f"{name} is no address of a model server. For this machine, write localhost.")
    is_here = name == "localhost" or (ip is not None and ip.is_loopback)
    host = f"[{name}]" if ":" in name else name
    host = f"{host}:{port}" if port else host
    path = parts.path.rstrip("/")
    return Address(f"{parts.scheme}://{host}{path}", host, is_here, is_here or parts.scheme == "https")


def permitted(url: str, remote: bool) -> Address:
    """Read the address of a server that pictures may be sent to.

    Parameters
    ----------
    remote : whether the user said that they may leave this machine

    Raises
    ------
    ConfigError
        As `parse`, and when the server is beyond this machine and may not be.
    """
    address = parse(url)
    if not address.is_here and not remote:
        raise ConfigError(
            f"{address.host} is not this machine, and your pictures would be sent there. If you want that, say so "
            "once: IMG2PROMPT_ENDPOINT_REMOTE=yes, or --set endpoint_remote=yes."
        )
    return address


def plain_ip(text: str) -> IPv4Address | IPv6Address:
    """The IP address that a text is; that of IPv4 where it is written as one of IPv6. ValueError if it is none.

    >>> plain_ip("::ffff:127.0.0.1"), plain_ip("fe80::1%eth0")
    (IPv4Address('127.0.0.1'), IPv6Address('fe80::1'))
    """
    ip = ip_address(text.partition("%")[0])
    return getattr(ip, "ipv4_mapped", None) or ip


def has_no_server(ip: IPv4Address | IPv6Address) -> bool:
    """Whether no model server can be at an address, or nothing may be sent there."""
    return (
        ip.is_link_local
        or ip.is_multicast
        or ip.is_unspecified
        or ip == IPv4Address("255.255.255.255")
        or ip in METADATA
    )


def _ip(name: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, in whatever spelling systems take: 2130706433 and 0x7f.1 are 127.0.0.1."""
    try:
        return plain_ip(name)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(name))
        except OSError:
            return None
