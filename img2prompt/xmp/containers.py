"""The kinds of files that texts are written into: each has a module that reads its packets and writes one."""

from __future__ import annotations

import struct
from types import ModuleType

from img2prompt.errors import DataError
from img2prompt.xmp import jpeg, png, tiff, webp
from img2prompt.xmp.packet import padded
from img2prompt.xmp.refusals import damaged

CONTAINERS = {"JPEG": jpeg, "PNG": png, "WebP": webp, "TIFF": tiff}
UNREADABLE = (IndexError, OverflowError, struct.error)  # what comes of a place that is outside of the file
PADDING = 2048  # bytes that a new packet has for programs that change it later, as ISO 16684-1 recommends


def packets(data: bytes) -> list[bytes]:
    """The XMP packets in a picture file: the main one first, then those that a JPEG has besides.

    Raises
    ------
    DataError
        When it is no file of `CONTAINERS`, or one whose parts do not add up.
    """
    container = _container(data)
    try:
        found: list[bytes] = container.read(data)
    except UNREADABLE as error:
        raise damaged("it ends too early") from error
    return found


def with_packet(data: bytes, packet: bytes) -> bytes:
    """A picture file with another main packet, of the same length as the old one if it fits there.

    Raises
    ------
    DataError
        As for `packets`, and when the packet is too large for the file or the file is signed.
    """
    container = _container(data)
    old = packets(data)
    packet = padded(packet, len(old[0]) if old else 0, PADDING, container.MOST)
    if len(packet) > container.MOST:
        raise DataError(
            f"The XMP would have {len(packet) / 1e3:.0f} KB, more than a file of this kind holds in one piece. "
            "Write a sidecar."
        )
    try:
        changed: bytes = container.write(data, packet)
    except UNREADABLE as error:
        raise damaged("it ends too early") from error
    return changed


def _container(data: bytes) -> ModuleType:
    for container in CONTAINERS.values():
        if data.startswith(container.MAGIC):
            return container
    raise DataError(
        f"Texts are written into {', '.join(CONTAINERS)} files only. For this one write a sidecar."
    )
