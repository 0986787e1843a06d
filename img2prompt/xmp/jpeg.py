"""XMP in a JPEG file: in a segment APP1, and what does not fit there in more of them (extended XMP)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from img2prompt.errors import DataError
from img2prompt.xmp.packet import MOST_BYTES
from img2prompt.xmp.refusals import damaged, signed

MAGIC = (b"\xff\xd8\xff",)
APP0, APP1, APP2, APP11 = 0xE0, 0xE1, 0xE2, 0xEB
LAST = (0xD9, 0xDA)  # markers after which no metadata comes: the end, and the begin of the pixels
BARE = (0x01, *range(0xD0, 0xD8))  # markers without a length
HEADER = b"http://ns.adobe.com/xap/1.0/\0"
KNOWN = re.compile(rb"(?:http|XMP\0)://ns\.adobe\.com/xap/1\.0/\0")  # some programs wrote the second
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
EXIF, MULTI, BOX = b"Exif\0", b"MPF\0", b"JP"
MOST = 65_502  # bytes of a packet, as ISO 16684-3 has it


class Segment(NamedTuple):
    marker: int
    start: int  # of its marker, in bytes from the beginning of the file
    stop: int
    content: bytes


def read(data: bytes) -> list[bytes]:
    """The packets: the main one first, then those of extended XMP."""
    found = list(_segments(data))
    packets = [segment.content[len(HEADER) :] for segment in found if _is_main(segment)]
    if len(packets) > 1:
        raise damaged("two XMP packets")
    return packets + list(_extended(found))


def write(data: bytes, packet: bytes) -> bytes:
    """The file with another main packet, where the old one was, else behind the segments JFIF and Exif."""
    found = list(_segments(data))
    if any(
        each.marker == APP11 and each.content.startswith(BOX) and b"c2pa" in each.content for each in found
    ):
        raise signed()
    content = HEADER + packet
    new = bytes([0xFF, APP1]) + (len(content) + 2).to_bytes(2, "big") + content
    old = next(filter(_is_main, found), None)
    if old is None:
        start = stop = 2
        for segment in found:
            if segment.marker != APP0 and not (segment.marker == APP1 and segment.content.startswith(EXIF)):
                break
            start = stop = segment.stop
    else:
        start, stop = old.start, old.stop
    # A file with several pictures tells in MPF how far behind it the others lie.
    tables = [each.start for each in found if each.marker == APP2 and each.content.startswith(MULTI)]
    if len(new) != stop - start and any(table < start for table in tables):
        raise DataError(
            "The file holds several pictures, and its XMP lies where it cannot grow without losing them. "
            "Write a sidecar."
        )
    return data[:start] + new + data[stop:]


def _segments(data: bytes) -> Iterator[Segment]:
    """The segments before the pixels."""
    at = 2
    while True:
        start = at
        if data[at] != 0xFF:
            raise damaged("no marker where a segment ends")
        while data[at] == 0xFF:  # any number of them before a marker
            at += 1
        marker = data[at]
        at += 1
        if marker in LAST:
            return
        if marker in BARE:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2 or at + size > len(data):
            raise damaged("it ends too early")
        yield Segment(marker, start, at + size, data[at + 2 : at + size])
        at += size


def _is_main(segment: Segment) -> bool:
    return segment.marker == APP1 and KNOWN.match(segment.content) is not None


def _extended(found: list[Segment]) -> Iterator[bytes]:
    """The packets of extended XMP: each has a name, a length, and pieces with their places."""
    pieces: dict[tuple[bytes, int], dict[int, bytes]] = {}
    for segment in found:
        if segment.marker == APP1 and segment.content.startswith(EXTENSION):
            rest = segment.content[len(EXTENSION) :]
            size, place = int.from_bytes(rest[32:36], "big"), int.from_bytes(rest[36:40], "big")
            pieces.setdefault((rest[:32], size), {})[place] = rest[40:]
    for (_, size), parts in pieces.items():
        packet = b"".join(parts[place] for place in sorted(parts))
        if len(packet) != size or size > MOST_BYTES:
            raise damaged("extended XMP with a piece missing")
        yield packet
