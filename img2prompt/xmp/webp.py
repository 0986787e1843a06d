"""XMP in a WebP file: in a chunk of its own, of which a flag in the chunk VP8X tells."""

from __future__ import annotations

from collections.abc import Iterator

from img2prompt.xmp.chunks import Chunk, only
from img2prompt.xmp.packet import MOST_BYTES
from img2prompt.xmp.refusals import damaged, signed

MAGIC = (b"RIFF",)
MOST = MOST_BYTES
HAS_XMP, HAS_ALPHA = 0x04, 0x10
START_CODE = b"\x9d\x01\x2a"  # of a lossy picture's frame
LOSSLESS = 0x2F  # the first byte of a lossless picture


def read(data: bytes) -> list[bytes]:
    """The packet, if there is one."""
    xmp = only(_is_xmp, _chunks(data))
    return [xmp.content] if xmp else []


def write(data: bytes, packet: bytes) -> bytes:
    """The file with another packet, where the old one was, else at the end."""
    chunks = list(_chunks(data))
    if any(chunk.kind == b"C2PA" for chunk in chunks):
        raise signed()
    old = only(_is_xmp, chunks)
    start, stop = (old.start, old.stop) if old else (chunks[-1].stop, chunks[-1].stop)
    first = chunks[0]
    if first.kind == b"VP8X":
        at = first.start + 8
        front = data[12:at] + bytes([data[at] | HAS_XMP]) + data[at + 1 : start]
    else:
        front = _chunk(b"VP8X", _canvas(first)) + data[12:start]
    body = front + _chunk(b"XMP ", packet) + data[stop : chunks[-1].stop]
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body + data[chunks[-1].stop :]


def _chunks(data: bytes) -> Iterator[Chunk]:
    end = 8 + int.from_bytes(data[4:8], "little")
    if data[8:12] != b"WEBP" or end > len(data):
        raise damaged("it ends too early")
    at = 12
    while at < end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        stop = at + 8 + size + size % 2
        if at + 8 > end or stop > end:
            raise damaged("it ends too early")
        yield Chunk(data[at : at + 4], at, stop, data[at + 8 : at + 8 + size])
        at = stop
    if at == 12:
        raise damaged("no picture in it")


def _is_xmp(chunk: Chunk) -> bool:
    return chunk.kind == b"XMP "


def _canvas(first: Chunk) -> bytes:
    """The content of a chunk VP8X, with the size and transparency of a picture that has none."""
    frame, flags = first.content, HAS_XMP
    if first.kind == b"VP8 " and frame[3:6] == START_CODE:
        width = int.from_bytes(frame[6:8], "little") & 0x3FFF
        height = int.from_bytes(frame[8:10], "little") & 0x3FFF
    elif first.kind == b"VP8L" and frame[0] == LOSSLESS:
        bits = int.from_bytes(frame[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= HAS_ALPHA * (bits >> 28 & 1)
    else:
        raise damaged("no picture in it")
    if not width or not height:
        raise damaged("no picture in it")
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)
