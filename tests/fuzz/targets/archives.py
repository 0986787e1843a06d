"""ZIP archives of pictures, packed in all the ways there are."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from random import Random

from img2prompt.batch.sources import Item, discover, in_archive
from img2prompt.errors import ImageError
from tests.fuzz.mutations import mutate

MEGABYTES = 400
LIMIT = 2**20  # bytes read of a picture
MOST = 20  # pictures read of an archive
CONTENT = 600  # bytes, a size that is easy to find in a file


def make(chooser: Random) -> dict[str, bytes]:
    samples = sound()
    return {"archive.zip": mutate(chooser.choice(samples), chooser, samples, (CONTENT,))}


def attempt(folder: Path) -> None:
    path = folder / "archive.zip"
    read(in_archive(path))
    if zipfile.is_zipfile(path):  # other files are lists of paths, and may name any
        read(discover(path))


def read(items: list[Item]) -> None:
    """Read each picture, the next one too where one cannot be read."""
    refusal = None
    for item in items[:MOST]:
        try:
            item.read(LIMIT)
        except ImageError as error:
            refusal = error
    if refusal:
        raise refusal


@functools.cache
def sound() -> tuple[bytes, ...]:
    """Small archives, the same at each call."""
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    plain = [pack(dict.fromkeys(("one.jpg", "two.png"), way)) for way in ways]
    mixed = pack({f"trip/{way}/größe {way}.jpg": way for way in ways}, b"a comment")
    streamed = pack({"a.jpg": zipfile.ZIP_DEFLATED, "b.jpg": zipfile.ZIP_STORED}, stream=True)
    large = pack({"a.jpg": zipfile.ZIP_DEFLATED}, force_zip64=True)
    return (*plain, mixed, streamed, large, locked(plain[0]))


def pack(
    ways: dict[str, int], comment: bytes = b"", stream: bool = False, force_zip64: bool = False
) -> bytes:
    chooser = Random(0)
    buffer = Stream() if stream else io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for name, way in ways.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = way
            with archive.open(entry, "w", force_zip64=force_zip64) as file:
                file.write(chooser.randbytes(CONTENT // 2) + bytes(CONTENT // 2))
    return buffer.getvalue()


class Stream(io.BytesIO):
    """A file without a way back, for which sizes are written behind the content."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def seek(self, *_: int) -> int:
        raise OSError


def locked(archive: bytes) -> bytes:
    """The archive with all entries marked as encrypted."""
    data = bytearray(archive)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + flags] |= 1
    return bytes(data)
