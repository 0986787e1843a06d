"""The texts in a picture's file, as its format holds them: PNG's own, EXIF, XMP and IPTC."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image, IptcImagePlugin

from img2prompt.metadata import xmp

MOST_BYTES = 2 * 2**20  # of one text or block; what is larger is not read. Graphs of ComfyUI take some 100 kB
MOST_CHARACTERS = 20_000  # of a text that is given out; a longer one is cut
MOST_MANIFEST = 8 * 2**20  # bytes of a C2PA manifest, which holds a thumbnail
LARGEST = 2**64  # seeds lie below

EXIF_TEXTS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,  # where ComfyUI's WebP files have a workflow
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTimeOriginal,
)
WINDOWS_TEXTS = (
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPSubject,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPKeywords,
)
# What cannot be shown, or would do something to a terminal: controls but for tab and line feed, and halves of pairs.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass
class Fields:
    """The texts that were found, none longer than `MOST_BYTES`."""

    texts: dict[str, str] = field(default_factory=dict)  # of a PNG, by keyword
    exif: dict[int, str] = field(default_factory=dict)  # by tag
    comment: str = ""  # EXIF's UserComment
    xmp: dict[str, list[str]] = field(default_factory=dict)  # by the names in `img2prompt.metadata.xmp`
    iptc: dict[int, list[str]] = field(default_factory=dict)  # by the number of the data set in record 2
    manifest: bytes = b""  # of C2PA, as it is


def gather(image: Image.Image) -> Fields:
    """The texts in the file of a picture. What is broken or too large is left out."""
    fields = Fields()
    if image.format == "PNG":
        texts = {
            name: text for name, text in image.info.items() if isinstance(name, str) and isinstance(text, str)
        }
        fields.texts = {name: decoded(text) for name, text in texts.items() if len(text) <= MOST_BYTES}
    packet = image.info.get("xmp") or fields.texts.pop("XML:com.adobe.xmp", "").encode()
    if isinstance(packet, bytes) and len(packet) <= MOST_BYTES:
        fields.xmp = {name: [decoded(value) for value in values] for name, values in xmp.read(packet).items()}
    with contextlib.suppress(Exception):  # one broken block is no reason to ignore the others
        _add_exif(fields, image)
    with contextlib.suppress(Exception):
        _add_iptc(fields, image)
    fields.manifest = _manifest(image)
    return fields


def _add_exif(fields: Fields, image: Image.Image) -> None:
    if len(image.info.get("exif") or b"") > MOST_BYTES:
        return
    first = image.getexif()
    # Only this directory is looked into; that of GPS stays a number, its place in the file.
    tags = {**first, **first.get_ifd(ExifTags.IFD.Exif)}
    for tag in EXIF_TEXTS:
        if isinstance(tags.get(tag), str | bytes) and len(tags[tag]) <= MOST_BYTES:
            fields.exif[tag] = decoded(tags[tag])
    for tag in WINDOWS_TEXTS:
        value = tags.get(tag)
        if isinstance(value, bytes | tuple) and len(value) <= MOST_BYTES:
            fields.exif[tag] = bytes(value).decode("utf-16-le", "ignore").partition("\0")[0]
    comment = tags.get(ExifTags.Base.UserComment)
    if isinstance(comment, str | bytes) and len(comment) <= MOST_BYTES:
        fields.comment = comment_of(comment)


def comment_of(value: str | bytes) -> str:
    """The text of a UserComment, whose first eight bytes name its encoding; some programs write plain text instead."""
    if isinstance(value, str):
        return decoded(value)
    name, text = value[:8], value[8:]
    if name == b"UNICODE\0":
        # Its byte order is meant to be the file's, but most programs write big-endian whatever that is.
        if text[:2] in (b"\xfe\xff", b"\xff\xfe"):
            return text.decode("utf-16", "replace")
        high = text[:2000:2].count(0) >= text[1:2000:2].count(0)
        return text.decode("utf-16-be" if high else "utf-16-le", "replace").rstrip("\0")
    return decoded(text if name in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)) else value).rstrip("\0")


def _add_iptc(fields: Fields, image: Any) -> None:
    for (record, number), value in (IptcImagePlugin.getiptcinfo(image) or {}).items():
        if record == 2:
            values = value if isinstance(value, list) else [value]
            fields.iptc[number] = [decoded(each) for each in values[:100] if len(each) <= MOST_BYTES]


def _manifest(image: Image.Image) -> bytes:
    """The C2PA manifest of a JPEG or PNG, as it lies in the file."""
    parts = [block[1] for block in getattr(image, "applist", ()) if block[0] == "APP11"]
    parts += [block[1] for block in getattr(image, "private_chunks", ()) if block[0] == b"caBX"]
    return b"".join(parts)[:MOST_MANIFEST]


def decoded(text: str | bytes) -> str:
    """A text whose bytes may be UTF-8 though the format says Latin-1, as which Pillow then reads them."""
    if isinstance(text, str) and text.isascii():
        return text
    try:
        data = text.encode("latin-1") if isinstance(text, str) else text
    except UnicodeEncodeError:  # it was UTF-8, and read so
        return str(text)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parsed(text: str) -> Any:
    """The value that a JSON text stands for; None where it is none, or is nested too deep."""
    if not text or len(text) > MOST_BYTES or text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def as_text(value: object) -> str | None:
    """A text fit to be shown, at most `MOST_CHARACTERS` long; None for an empty one, and for what is no text."""
    if not isinstance(value, str):
        return None
    text = value[: 2 * MOST_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n")
    return _UNFIT.sub("", text).strip()[:MOST_CHARACTERS] or None


def as_number(value: object, most: int = LARGEST) -> int | None:
    """A whole number from 0 to below `most`, which may be written as text; None for anything else."""
    if isinstance(value, str) and len(value) <= 20 and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < most else None


def as_size(width: object, height: object) -> tuple[int, int] | None:
    """(width, height) in pixels, if both are numbers that can be a picture's."""
    sides = as_number(width, 2**31), as_number(height, 2**31)
    return (sides[0], sides[1]) if sides[0] and sides[1] else None
