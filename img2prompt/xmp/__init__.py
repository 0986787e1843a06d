"""Texts about a picture as XMP: in a packet of its own (a sidecar), or inside a JPEG, PNG, WebP or TIFF file.

    file ── containers ──▶ packet ── packet.texts_of ──▶ texts that it has
    file ◀── containers ── packet ◀── packet.with_texts ── texts to write

Only the bytes of the packet change, and those that say where it lies and how long it is. Within the packet only
the properties change that are written. So there is no library that reads a file and writes it anew: exiv2's
Python bindings are GPL and rebuild a TIFF, Pillow encodes the pixels again, and exiftool is a Perl program.
"""

from __future__ import annotations

from img2prompt.xmp.containers import packets, with_packet
from img2prompt.xmp.packet import (
    FIELDS,
    HISTORY,
    MOST_BYTES,
    properties_of,
    texts_of,
    with_texts,
    writable,
)

__all__ = [
    "FIELDS",
    "HISTORY",
    "MOST_BYTES",
    "packets",
    "properties_of",
    "texts_of",
    "with_packet",
    "with_texts",
    "writable",
]
