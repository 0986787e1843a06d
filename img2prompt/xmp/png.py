"""XMP in a PNG file: in a chunk iTXt."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from img2prompt.xmp.chunks import Chunk, only
from img2prompt.xmp.packet import MOST_BYTES
from img2prompt.xmp.refusals import damaged, signed

MAGIC = (b"\x89PNG\r\n\x1a\n",)
MOST = MOST_BYTES
KEYWORD = b"XML:com.adobe.xmp\0"
OLD_KEYWORD = b"Raw profile type xmp\0"  # ImageMagick's, in hexadecimal digits


def read(data: bytes) -> list[bytes]:
    """The packet, if there is one."""
    chunks = list(_chunks(data))
    if any(chunk.kind in (b"tEXt", b"zTXt") and chunk.content.startswith(OLD_KEYWORD) for chunk in chunks):
        raise damaged("XMP in ImageMagick's form")
    xmp = only(_is_xmp, chunks)  # unpacked only once it is alone
    return [_packet(xmp.content[len(KEYWORD) :])] if xmp else []


def write(data: bytes, packet: bytes) -> bytes:
    """The file with another packet, where the old one was, else behind the header."""
    chunks = list(_chunks(data))
    if any(chunk.kind == b"caBX" for chunk in chunks):
        raise signed()
    body = b"iTXt" + KEYWORD + b"\0\0\0\0" + packet  # not compressed, and in no language
    new = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    old = only(_is_xmp, chunks)
    start, stop = (old.start, old.stop) if old else (chunks[0].stop, chunks[0].stop)
    return data[:start] + new + data[stop:]


def _chunks(data: bytes) -> Iterator[Chunk]:
    at = len(MAGIC[0])
    kind = b""
    while kind != b"IEND":
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        stop = at + 12 + size
        if stop > len(data):
            raise damaged("it ends too early")
        yield Chunk(kind, at, stop, data[at + 8 : stop - 4])
        at = stop


def _is_xmp(chunk: Chunk) -> bool:
    return chunk.kind == b"iTXt" and chunk.content.startswith(KEYWORD)


def _packet(rest: bytes) -> bytes:
    """What a chunk holds behind its keyword: whether it is compressed, two names that end in a null, the text."""
    compressed, names = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
    if len(names) < 3:
        raise damaged("XMP that cannot be unpacked")
    if not compressed:
        return names[2]
    unpacking = zlib.decompressobj()
    try:
        return unpacking.decompress(names[2], MOST_BYTES + 1)
    except zlib.error as error:
        raise damaged("XMP that cannot be unpacked") from error
